#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <latch>
#include <memory>
#include <random>
#include <thread>

#include "absl/functional/function_ref.h"
#include "server/compute/attention/attention.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/load_bench.h"

namespace attend::bench {
namespace {

constexpr int kThreads = 2;
constexpr int kRepetitions = 12;

using Work = absl::FunctionRef<absl::Status(runtime::Executor&, runtime::BufferPool&)>;

// From the cancellation, which comes at a random time, to the end of the work: the worst of some repetitions.
double WorstSecondsToStop(Work work) {
  std::mt19937 random(5);
  std::uniform_int_distribution<int> milliseconds(20, 300);
  runtime::ComputePool pool(kThreads);
  runtime::BufferPool buffers;
  double worst = 0;
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    const auto cancellation = std::make_shared<runtime::Cancellation>();
    std::chrono::steady_clock::time_point ended;
    std::latch done(1);
    pool.Start(cancellation, [&](runtime::Executor& executor) {
      work(executor, buffers).IgnoreError();
      ended = std::chrono::steady_clock::now();
      done.count_down();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds(random)));
    const auto cancelled = std::chrono::steady_clock::now();
    cancellation->Cancel();
    done.wait();
    worst = std::max(worst, std::chrono::duration<double>(ended - cancelled).count());
  }
  return worst;
}

double WorstOfAttention(const AttentionShape& shape) {
  AttentionSetup setup(shape);
  return WorstSecondsToStop([&](runtime::Executor& executor, runtime::BufferPool& buffers) {
    return compute::Attention(executor, buffers, setup.problem(), setup.result());
  });
}

template <typename T>
double WorstOfExponential(int64_t n, bool symmetric) {
  const std::vector<float> values = RandomValues(static_cast<size_t>(n * n), 3);
  std::vector<T> a(values.begin(), values.end());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t from = symmetric && j < i ? j * n + i : i * n + j;
      a[static_cast<size_t>(i * n + j)] = T(0.1) * static_cast<T>(values[static_cast<size_t>(from)]);
    }
  }
  std::vector<T> result(a.size());
  compute::MatrixExpProblem<T> problem;
  problem.batch = 1;
  problem.n = n;
  problem.a = a.data();
  problem.times = {1};
  return WorstSecondsToStop([&](runtime::Executor& executor, runtime::BufferPool& buffers) {
    compute::MatrixExpResult<T> out;
    out.result = result.data();
    return compute::MatrixExp(executor, buffers, problem, out);
  });
}

}  // namespace

void BenchStretch(Figures& figures) {
  const auto add = [&](const std::string& name, double seconds) {
    figures.Add("cancel.in_process." + name + ".ms", seconds * 1e3, "ms");
  };
  for (const AttentionShape& shape : {AttentionShape{.heads = 8, .n = 8192, .m = 8192, .d = 64},
                                      AttentionShape{.heads = 1, .n = 32768, .m = 32768, .d = 128},
                                      AttentionShape{.heads = 1, .n = 131072, .m = 131072, .d = 64},
                                      AttentionShape{.heads = 1, .n = 8192, .m = 8192, .d = 1024}}) {
    add("attention." + shape.Name(), WorstOfAttention(shape));
  }
  for (const int64_t n : {1024, 2048, 4096}) {
    add("expm.f32." + std::to_string(n), WorstOfExponential<float>(n, false));
    add("expm.f64." + std::to_string(n), WorstOfExponential<double>(n, false));
  }
  add("expm.symmetric.f64.1024", WorstOfExponential<double>(1024, true));
  add("expm.symmetric.f64.2048", WorstOfExponential<double>(2048, true));
}

}  // namespace attend::bench
