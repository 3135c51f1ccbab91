#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <latch>
#include <memory>
#include <optional>
#include <random>
#include <thread>

#include "absl/functional/function_ref.h"
#include "server/compute/attention/attention.h"
#include "server/compute/lie/matrix_log.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/project/low_rank.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/load_bench.h"

namespace attend::bench {
namespace {

constexpr int kThreads = 2;
constexpr int kRepetitions = 12;
constexpr std::chrono::seconds kLongest{20};

using Work = absl::FunctionRef<absl::Status(runtime::Executor&, runtime::BufferPool&)>;

using Clock = std::chrono::steady_clock;

double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Of one run, from its start to its end or kLongest, whichever comes first; where it is cancelled after `delay`, from
// there.
double SecondsOf(runtime::ComputePool& pool, runtime::BufferPool& buffers, Work work,
                 std::optional<std::chrono::duration<double>> delay) {
  const auto cancellation = std::make_shared<runtime::Cancellation>(Clock::now() + kLongest);
  Clock::time_point ended;
  std::latch done(1);
  Clock::time_point from = Clock::now();
  pool.Start(cancellation, [&](runtime::Executor& executor) {
    work(executor, buffers).IgnoreError();
    ended = Clock::now();
    done.count_down();
  });
  if (delay.has_value()) {
    std::this_thread::sleep_for(*delay);
    from = Clock::now();
    cancellation->Cancel();
  }
  done.wait();
  return SecondsBetween(from, ended);
}

// From the cancellation to the end of the work: the worst of some repetitions. It comes once in each part of the run,
// which is measured first, of as many equal parts as there are repetitions.
double WorstSecondsToStop(Work work) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> within_part(0, 1);
  runtime::ComputePool pool(kThreads);
  runtime::BufferPool buffers;
  const double whole = SecondsOf(pool, buffers, work, std::nullopt);
  double worst = 0;
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    const std::chrono::duration<double> delay(whole * (repetition + within_part(random)) / kRepetitions);
    worst = std::max(worst, SecondsOf(pool, buffers, work, delay));
  }
  return worst;
}

double WorstOfAttention(const AttentionShape& shape) {
  AttentionSetup setup(shape);
  return WorstSecondsToStop([&](runtime::Executor& executor, runtime::BufferPool& buffers) {
    return compute::Attention(executor, buffers, setup.problem(), setup.result());
  });
}

enum class Kind { kGeneral, kSymmetric, kSkewSymmetric };

template <typename T>
std::vector<T> RandomMatrix(int64_t n, Kind kind) {
  const std::vector<float> values = RandomValues(static_cast<size_t>(n * n), 3);
  std::vector<T> a(values.begin(), values.end());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const bool mirrored = kind != Kind::kGeneral && j < i;
      const T value = static_cast<T>(values[static_cast<size_t>(mirrored ? j * n + i : i * n + j)]);
      T& to = a[static_cast<size_t>(i * n + j)];
      to = mirrored && kind == Kind::kSkewSymmetric ? T(-0.1) * value : T(0.1) * value;
      if (i == j && kind == Kind::kSkewSymmetric) to = 0;
    }
  }
  return a;
}

template <typename T>
double WorstOfExponential(int64_t n, Kind kind) {
  const std::vector<T> a = RandomMatrix<T>(n, kind);
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

// All singular vectors.
double WorstOfLowRank(int64_t n) {
  const std::vector<double> a = RandomMatrix<double>(n, Kind::kGeneral);
  compute::LowRankProblem<double> problem;
  problem.batch = 1;
  problem.n = problem.m = n;
  problem.a = a.data();
  problem.rank = n;
  return WorstSecondsToStop([&](runtime::Executor& executor, runtime::BufferPool& buffers) {
    compute::LowRankResult out;
    return compute::LowRankProjection(executor, buffers, problem, out);
  });
}

// Eigenvalues in a disc around 1.
double WorstOfLogarithm(int64_t n) {
  std::vector<double> a = RandomMatrix<double>(n, Kind::kGeneral);
  const double scale = 3 / std::sqrt(static_cast<double>(n));
  for (double& entry : a) entry *= scale;
  for (int64_t i = 0; i < n; ++i) a[static_cast<size_t>(i * n + i)] += 1;
  std::vector<double> result(a.size());
  compute::MatrixLogProblem<double> problem{1, n, a.data()};
  return WorstSecondsToStop([&](runtime::Executor& executor, runtime::BufferPool& buffers) {
    compute::MatrixLogResult<double> out;
    out.result = result.data();
    return compute::MatrixLog(executor, buffers, problem, out);
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
    add("expm.f32." + std::to_string(n), WorstOfExponential<float>(n, Kind::kGeneral));
    add("expm.f64." + std::to_string(n), WorstOfExponential<double>(n, Kind::kGeneral));
  }
  add("expm.symmetric.f64.1024", WorstOfExponential<double>(1024, Kind::kSymmetric));
  add("expm.symmetric.f64.2048", WorstOfExponential<double>(2048, Kind::kSymmetric));
  add("expm.skew_symmetric.f64.2048", WorstOfExponential<double>(2048, Kind::kSkewSymmetric));
  add("low_rank.f64.2048x2048r2048", WorstOfLowRank(2048));
  add("log.f64.1024", WorstOfLogarithm(1024));
}

}  // namespace attend::bench
