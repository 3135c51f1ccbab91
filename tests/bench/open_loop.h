// Callers that come at random times, whether or not the calls before are answered. Not thread-safe.
#ifndef ATTEND_TESTS_BENCH_OPEN_LOOP_H_
#define ATTEND_TESTS_BENCH_OPEN_LOOP_H_

#include <chrono>
#include <vector>

#include "tests/bench/raw_caller.h"

namespace attend::bench {

struct OpenLoopResult {
  double seconds = 0;
  std::vector<double> answered_seconds;  // from when a call was due to start until its answer
  std::vector<double> refused_seconds;   // RESOURCE_EXHAUSTED
  int failed = 0;                        // any other status, deadlines above all
};

// Sends `request` `per_second` times a second on average for `seconds` (a Poisson process), spread over the callers,
// and waits for the answers.
OpenLoopResult RunOpenLoop(std::vector<std::unique_ptr<RawCaller>>& callers, const grpc::ByteBuffer& request,
                           double per_second, double seconds, std::chrono::milliseconds timeout);

// Calls per second with that many callers, each of which calls again once it is answered.
double ClosedLoopRate(const std::string& address, const grpc::ByteBuffer& request, int callers, double seconds);

// The value below which `share` of the values are. REQUIRES: there is one.
double Quantile(std::vector<double> values, double share);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_OPEN_LOOP_H_
