// How fast a queue drains while somebody waits in it: an average over about the last second of waiting. Not
// thread-safe.
#ifndef ATTEND_SERVER_RUNTIME_DRAIN_RATE_H_
#define ATTEND_SERVER_RUNTIME_DRAIN_RATE_H_

#include <chrono>
#include <optional>

namespace attend::runtime {

class DrainRate {
 public:
  using Clock = std::chrono::steady_clock;

  void QueueFormed(Clock::time_point now);
  // A call that held `share` of the server's room was answered. REQUIRES: a queue formed.
  void Answered(double share, Clock::time_point now);

  // Shares per second; unknown before the first measurement, and when the last one is older than kFresh: the calls that
  // made it say nothing about those of now.
  std::optional<double> PerSecond(Clock::time_point now) const;

  static constexpr std::chrono::seconds kFresh{10};

 private:
  Clock::time_point since_;
  Clock::time_point measured_;
  double drained_ = 0;  // since `since_`
  double per_second_ = 0;
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_DRAIN_RATE_H_
