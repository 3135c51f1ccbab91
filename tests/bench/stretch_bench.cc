#include <ctime>

#include <algorithm>

#include "server/compute/attention/attention.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/load_bench.h"

namespace attend::bench {
namespace {

double ThreadCpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Runs tiles on the calling thread for some seconds and keeps the longest stretch between two polls of the
// cancellation, in CPU time, which other programs do not lengthen.
class StretchExecutor final : public runtime::Executor {
 public:
  absl::Status ForEachTile(int64_t tiles, double, absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    for (int64_t index = 0; index < tiles; ++index) {
      if (!Poll()) return absl::CancelledError("measured");
      if (absl::Status done = tile(index, 0); !done.ok()) return done;
    }
    return Poll() ? absl::OkStatus() : absl::CancelledError("measured");
  }
  int max_workers() const override { return 1; }
  const runtime::Cancellation& cancellation() const override { return cancellation_; }

  double longest_seconds() const { return longest_; }

 private:
  bool Poll() {
    const double now = ThreadCpuSeconds();
    longest_ = std::max(longest_, now - last_);
    last_ = now;
    return now - begin_ < kSeconds;
  }

  static constexpr double kSeconds = 1.5;
  const runtime::Cancellation cancellation_;
  const double begin_ = ThreadCpuSeconds();
  double last_ = begin_;
  double longest_ = 0;
};

double LongestOfAttention(const AttentionShape& shape) {
  AttentionSetup setup(shape);
  runtime::BufferPool buffers;
  StretchExecutor executor;
  compute::Attention(executor, buffers, setup.problem(), setup.result()).IgnoreError();
  return executor.longest_seconds();
}

template <typename T>
double LongestOfExponential(int64_t n) {
  const std::vector<float> values = RandomValues(static_cast<size_t>(n * n), 3);
  std::vector<T> a(values.begin(), values.end());
  for (T& value : a) value *= T(0.1);
  std::vector<T> result(a.size());
  runtime::BufferPool buffers;
  StretchExecutor executor;
  compute::MatrixExpProblem<T> problem;
  problem.batch = 1;
  problem.n = n;
  problem.a = a.data();
  problem.times = {1};
  compute::MatrixExpResult<T> out;
  out.result = result.data();
  compute::MatrixExp(executor, buffers, problem, out).IgnoreError();
  return executor.longest_seconds();
}

}  // namespace

void BenchStretch(Figures& figures) {
  const auto add = [&](const std::string& name, double seconds) {
    figures.Add("cancel.longest_stretch." + name + ".ms", seconds * 1e3, "ms");
  };
  for (const AttentionShape& shape : {AttentionShape{.heads = 8, .n = 8192, .m = 8192, .d = 64},
                                      AttentionShape{.heads = 1, .n = 32768, .m = 32768, .d = 128},
                                      AttentionShape{.heads = 1, .n = 131072, .m = 131072, .d = 64},
                                      AttentionShape{.heads = 1, .n = 8192, .m = 8192, .d = 1024}}) {
    add("attention." + shape.Name(), LongestOfAttention(shape));
  }
  for (const int64_t n : {1024, 2048, 4096}) {
    add("expm.f32." + std::to_string(n), LongestOfExponential<float>(n));
    add("expm.f64." + std::to_string(n), LongestOfExponential<double>(n));
  }
}

}  // namespace attend::bench
