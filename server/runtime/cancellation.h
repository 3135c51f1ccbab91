// Whether a call is still wanted. One thread cancels, others poll; all members are thread-safe.
#ifndef ATTEND_SERVER_RUNTIME_CANCELLATION_H_
#define ATTEND_SERVER_RUNTIME_CANCELLATION_H_

#include <atomic>
#include <chrono>

#include "absl/status/status.h"

namespace attend::runtime {

class Cancellation {
 public:
  using Clock = std::chrono::steady_clock;

  Cancellation() = default;  // no deadline
  explicit Cancellation(Clock::time_point deadline) : deadline_(deadline) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }

  // OK while the call is wanted; then CANCELLED (the caller hung up) or DEADLINE_EXCEEDED.
  absl::Status Check() const {
    if (cancelled_.load(std::memory_order_relaxed)) return absl::CancelledError("the caller cancelled the call");
    if (Clock::now() >= deadline_) return absl::DeadlineExceededError("the call's deadline passed");
    return absl::OkStatus();
  }

  Clock::time_point deadline() const { return deadline_; }

 private:
  std::atomic<bool> cancelled_{false};
  const Clock::time_point deadline_ = Clock::time_point::max();
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_CANCELLATION_H_
