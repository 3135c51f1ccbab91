#include "server/runtime/drain_rate.h"

#include <cmath>

namespace attend::runtime {
namespace {

// One measurement takes at least this long: shorter ones say more about the moment than about the rate.
constexpr double kWindowSeconds = 0.02;
constexpr double kMemorySeconds = 1;

}  // namespace

void DrainRate::QueueFormed(Clock::time_point now) {
  since_ = now;
  drained_ = 0;
}

void DrainRate::Answered(double share, Clock::time_point now) {
  drained_ += share;
  const double elapsed = std::chrono::duration<double>(now - since_).count();
  if (elapsed < kWindowSeconds) return;
  const double rate = drained_ / elapsed;
  const double weight = PerSecond(now).has_value() ? 1 - std::exp(-elapsed / kMemorySeconds) : 1;
  per_second_ += weight * (rate - per_second_);
  measured_ = now;
  since_ = now;
  drained_ = 0;
}

std::optional<double> DrainRate::PerSecond(Clock::time_point now) const {
  if (per_second_ <= 0 || now - measured_ > kFresh) return std::nullopt;
  return per_second_;
}

}  // namespace attend::runtime
