#include "server/rpc/busy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "google/rpc/error_details.pb.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

using Wait = std::chrono::duration<double>;
using ::testing::HasSubstr;

google::rpc::RetryInfo RetryInfoOf(const absl::Status& status) {
  google::rpc::RetryInfo retry;
  EXPECT_TRUE(retry.ParseFromString(std::string(status.GetPayload(kRetryInfoUrl).value_or(absl::Cord("?")))));
  return retry;
}

TEST(Busy, SaysWhyAndWhenToTryAgain) {
  const absl::Status status = ToStatus({.waiting_calls = 12, .queue_full = true, .predicted_wait = Wait(2.5)});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the server is busy: 12 calls wait already; try again in 2500 ms");
  EXPECT_EQ(RetryInfoOf(status).retry_delay().seconds(), 2);
  EXPECT_EQ(RetryInfoOf(status).retry_delay().nanos(), 500'000'000);
  EXPECT_EQ(RetryPushbackMs(status), 2500);
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(std::string(*status.GetPayload(kErrorInfoUrl))));
  EXPECT_EQ(info.reason(), "BUSY");
  EXPECT_EQ(info.domain(), "attend.v1");
}

TEST(Busy, AnAnswerAfterTheDeadlineIsNamed) {
  const absl::Status status =
      ToStatus({.waiting_calls = 1, .predicted_wait = Wait(0.25), .predicted_answer = Wait(0.5)});
  EXPECT_THAT(std::string(status.message()), HasSubstr("would be answered in 0.500 s, after its deadline"));
  EXPECT_EQ(RetryPushbackMs(status), 250);
}

TEST(Busy, TheDelayStaysWithinItsBounds) {
  const auto delay_of = [](std::optional<Wait> wait) {
    return *RetryPushbackMs(ToStatus({.waiting_calls = 1, .queue_full = true, .predicted_wait = wait}));
  };
  EXPECT_EQ(delay_of(Wait(0)), 10);
  EXPECT_EQ(delay_of(Wait(0.0101)), 11);
  EXPECT_EQ(delay_of(Wait(1e9)), 10000);
  EXPECT_EQ(delay_of(Wait(1e300)), 10000);
  EXPECT_EQ(delay_of(std::nullopt), 1000);
}

TEST(RetryPushback, TellsNeverForWhatCanNeverFitAndNothingForOtherErrors) {
  EXPECT_EQ(RetryPushbackMs(TooLarge("the call", 2, 1)), -1);
  EXPECT_FALSE(RetryPushbackMs(InvalidField("a", "b", "c")).has_value());
  EXPECT_FALSE(RetryPushbackMs(absl::OkStatus()).has_value());
}

}  // namespace
}  // namespace attend::rpc
