#include "client/lib/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace attend::client {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

std::string Details(const std::vector<const google::protobuf::Message*>& messages) {
  google::rpc::Status status;
  status.set_code(3);
  for (const google::protobuf::Message* message : messages) status.add_details()->PackFrom(*message);
  return status.SerializeAsString();
}

google::rpc::BadRequest Violation(const std::string& field, const std::string& description) {
  google::rpc::BadRequest bad_request;
  bad_request.add_field_violations()->set_field(field);
  bad_request.mutable_field_violations(0)->set_description(description);
  return bad_request;
}

TEST(ErrorDetails, AllThreeKindsAreDecoded) {
  const google::rpc::BadRequest bad_request = Violation("heads.key", "got [1, 2], expected [1, 3]");
  google::rpc::ErrorInfo info;
  info.set_reason("INVALID_FIELD");
  info.set_domain("attend.v1");
  (*info.mutable_metadata())["limit"] = "7";
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(500'000'000);

  const absl::Status status = MakeCallError(3, "no", Details({&bad_request, &info, &retry}));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "no");
  const ErrorDetails details = DecodeErrorDetails(status);
  ASSERT_EQ(details.violations.size(), 1u);
  EXPECT_EQ(details.violations[0].field, "heads.key");
  EXPECT_EQ(details.violations[0].description, "got [1, 2], expected [1, 3]");
  EXPECT_EQ(details.reason, "INVALID_FIELD");
  EXPECT_EQ(details.domain, "attend.v1");
  EXPECT_THAT(details.metadata, ElementsAre(Pair("limit", "7")));
  EXPECT_EQ(details.retry_delay, absl::Milliseconds(1500));
}

TEST(ErrorDetails, BusyAndTooLargeAreToldApart) {
  google::rpc::ErrorInfo busy;
  busy.set_reason("BUSY");
  google::rpc::ErrorInfo too_large;
  too_large.set_reason("TOO_LARGE");
  EXPECT_TRUE(IsBusy(MakeCallError(8, "", Details({&busy}))));
  EXPECT_FALSE(IsTooLarge(MakeCallError(8, "", Details({&busy}))));
  EXPECT_TRUE(IsTooLarge(MakeCallError(8, "", Details({&too_large}))));
  EXPECT_FALSE(IsBusy(MakeCallError(8, "", Details({&too_large}))));
  EXPECT_FALSE(IsBusy(MakeCallError(8, "", "")));
  EXPECT_FALSE(IsBusy(MakeCallError(14, "", Details({&busy}))));
  EXPECT_FALSE(IsTooLarge(absl::OkStatus()));
}

TEST(ErrorDetails, AbsentOrUnreadableDetailsAreEmpty) {
  for (const std::string& bytes : {std::string(), std::string("\xff\xff garbage"), Details({})}) {
    const ErrorDetails details = DecodeErrorDetails(MakeCallError(14, "gone", bytes));
    EXPECT_TRUE(details.violations.empty());
    EXPECT_FALSE(details.retry_delay.has_value());
    EXPECT_EQ(ErrorDetailsText(details), "");
  }
}

TEST(ErrorDetails, CodesOutsideTheProtocolAreUnknown) {
  EXPECT_EQ(MakeCallError(0, "", "").code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(MakeCallError(99, "", "").code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(MakeCallError(16, "", "").code(), absl::StatusCode::kUnauthenticated);
}

TEST(ErrorDetailsText, FieldGotAndExpectedStandOnOneLineEach) {
  ErrorDetails details;
  details.violations = {{"heads.key", "got 63 columns, expected 64"}};
  details.metadata = {{"field", "heads.key"}, {"got", "63 columns"}, {"expected", "64"}};
  EXPECT_EQ(ErrorDetailsText(details), "  field     heads.key\n  got       63 columns\n  expected  64\n");
}

TEST(ErrorDetailsText, NothingStandsTwice) {
  ErrorDetails details;
  details.violations = {{"apply_to", "got a tensor, which this version does not serve"}};
  details.metadata = {{"field", "apply_to"}, {"got", "a tensor"}};
  EXPECT_EQ(ErrorDetailsText(details), "  field     apply_to\n  got       a tensor\n");
}

TEST(ErrorDetailsText, DescriptionStandsForMissingMetadata) {
  ErrorDetails details;
  details.violations = {{"x", "is missing"}, {"w_q", "is missing too"}};
  details.retry_delay = absl::Milliseconds(250);
  EXPECT_EQ(ErrorDetailsText(details),
            "  field     x\n  problem   is missing\n  field     w_q\n  problem   is missing too\n  retry in  250ms\n");
}

}  // namespace
}  // namespace attend::client
