#include "tests/bench/timing.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <latch>
#include <memory>

namespace attend::bench {

double Seconds(absl::FunctionRef<void()> work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double ThreadSeconds(absl::FunctionRef<void()> work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  work();
  return now() - begin;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<double> MedianSecondsInTurns(int repetitions, const std::vector<std::function<void()>>& works) {
  for (const auto& work : works) work();
  std::vector<std::vector<double>> times(works.size());
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    for (size_t i = 0; i < works.size(); ++i) times[i].push_back(Seconds(works[i]));
  }
  std::vector<double> medians;
  for (auto& each : times) medians.push_back(Median(std::move(each)));
  return medians;
}

int RepetitionsFor(double seconds, absl::FunctionRef<void()> work) {
  work();
  const double once = Seconds(work);
  return std::clamp(static_cast<int>(seconds / std::max(once, 1e-7)), 5, 2000);
}

void RunAsCall(runtime::ComputePool& pool, absl::FunctionRef<void(runtime::Executor&)> job) {
  std::latch done(1);
  pool.Start(std::make_shared<runtime::Cancellation>(), [&](runtime::Executor& executor) {
    job(executor);
    done.count_down();
  });
  done.wait();
}

}  // namespace attend::bench
