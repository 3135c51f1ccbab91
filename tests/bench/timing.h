// Timing on a machine that others disturb: medians of repetitions, and ratios of things measured in turns.
#ifndef ATTEND_TESTS_BENCH_TIMING_H_
#define ATTEND_TESTS_BENCH_TIMING_H_

#include <functional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "server/runtime/compute_pool.h"

namespace attend::bench {

double Seconds(absl::FunctionRef<void()> work);

// Of the calling thread alone: what other processes take of its core meanwhile does not count.
double ThreadSeconds(absl::FunctionRef<void()> work);

// The middle of the values. REQUIRES: there is one.
double Median(std::vector<double> values);

// The medians of the times of several works, each run once to warm up and then `repetitions` times in turns, so that a
// slow second of the machine meets all of them.
std::vector<double> MedianSecondsInTurns(int repetitions, const std::vector<std::function<void()>>& works);

// How many repetitions fill about `seconds`, at least 5: from one run of `work`.
int RepetitionsFor(double seconds, absl::FunctionRef<void()> work);

// Runs `job` as a call of `pool` and waits for it.
void RunAsCall(runtime::ComputePool& pool, absl::FunctionRef<void(runtime::Executor&)> job);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_TIMING_H_
