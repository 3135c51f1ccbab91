#include "server/runtime/drain_rate.h"

#include <gtest/gtest.h>

namespace attend::runtime {
namespace {

using std::chrono::milliseconds;

// Answers `share` every 10 ms for `count` times, from `now` on.
void Drain(DrainRate& rate, DrainRate::Clock::time_point& now, double share, int count) {
  rate.QueueFormed(now);
  for (int i = 0; i < count; ++i) {
    now += milliseconds(10);
    rate.Answered(share, now);
  }
}

TEST(DrainRate, UnknownUntilMeasured) {
  DrainRate rate;
  DrainRate::Clock::time_point now{};
  EXPECT_FALSE(rate.PerSecond(now).has_value());
  Drain(rate, now, 0.5, 1);  // too short to say anything
  EXPECT_FALSE(rate.PerSecond(now).has_value());
}

TEST(DrainRate, IsWhatDrainsPerSecond) {
  DrainRate rate;
  DrainRate::Clock::time_point now{};
  Drain(rate, now, 0.5, 100);
  ASSERT_TRUE(rate.PerSecond(now).has_value());
  EXPECT_NEAR(*rate.PerSecond(now), 50, 1e-6);  // 0.5 in each hundredth of a second
}

TEST(DrainRate, FollowsAChange) {
  DrainRate rate;
  DrainRate::Clock::time_point now{};
  Drain(rate, now, 0.5, 100);
  Drain(rate, now, 0.1, 500);
  // Five seconds, of which the last counts most: exp(-5) of the difference of 40 is left.
  EXPECT_NEAR(*rate.PerSecond(now), 10, 0.3);
}

TEST(DrainRate, ForgetsWhatIsOld) {
  DrainRate rate;
  DrainRate::Clock::time_point now{};
  Drain(rate, now, 0.5, 100);
  EXPECT_TRUE(rate.PerSecond(now + DrainRate::kFresh).has_value());
  EXPECT_FALSE(rate.PerSecond(now + DrainRate::kFresh + milliseconds(1)).has_value());
}

TEST(DrainRate, TimeWithoutAQueueDoesNotCount) {
  DrainRate rate;
  DrainRate::Clock::time_point now{};
  Drain(rate, now, 0.5, 100);
  now += std::chrono::seconds(5);
  Drain(rate, now, 0.5, 100);
  EXPECT_NEAR(*rate.PerSecond(now), 50, 1e-6);
}

}  // namespace
}  // namespace attend::runtime
