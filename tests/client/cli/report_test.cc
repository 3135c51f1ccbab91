#include "client/cli/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/exit_code.h"
#include "client/lib/status.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

using ::testing::HasSubstr;

TEST(DurationText, HasThreeDigitsAndTheRightUnit) {
  EXPECT_EQ(DurationText(0), "0 us");
  EXPECT_EQ(DurationText(412.4e-6), "412 us");
  EXPECT_EQ(DurationText(0.0032149), "3.21 ms");
  EXPECT_EQ(DurationText(0.25), "250 ms");
  EXPECT_EQ(DurationText(0.99999), "1.00 s");
  EXPECT_EQ(DurationText(12.345), "12.3 s");
}

TEST(BytesText, PicksTheUnit) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(999), "999 B");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText(256.0 * 1024 * 1024), "256.0 MiB");
}

TEST(StatsLine, SaysWhereTheTimeWent) {
  v1::CallStats stats;
  stats.set_queue_seconds(12e-6);
  stats.set_decode_seconds(80e-6);
  stats.set_compute_seconds(400e-6);
  stats.set_flops(8e6);
  stats.set_peak_bytes(4 << 20);
  EXPECT_EQ(StatsLine(stats, 0.0012),
            "server: waited 12 us, decoded 80 us, computed 400 us (20 GFLOP/s), held 4.0 MiB; round trip 1.20 ms\n");
}

TEST(StatsLine, LeavesOutWhatTheServerDidNotSay) {
  EXPECT_EQ(StatsLine({}, 0.5), "server: waited 0 us, decoded 0 us, computed 0 us; round trip 500 ms\n");
}

TEST(TensorLine, HasShapeTypeAndFile) {
  const v1::Tensor tensor = *client::MakeTensor({1, 2}, std::vector<float>{1, 2});
  EXPECT_EQ(TensorLine("output", tensor, "o.npy"), "output    [1, 2] float32 -> o.npy\n");
  EXPECT_EQ(TensorLine("output", tensor, ""), "output    [1, 2] float32 (not written)\n");
  EXPECT_EQ(TensorJson(tensor, "o.npy").dump(), R"({"shape":[1,2],"dtype":"float32","file":"o.npy"})");
}

TEST(ErrorJson, CarriesCodeMessageAndExitCode) {
  const nlohmann::ordered_json document = ErrorJson(absl::UnavailableError("gone"), 4);
  EXPECT_EQ(document.dump(),
            R"({"ok":false,"exit_code":4,"error":{"code":"UNAVAILABLE","message":"gone","fields":[]}})");
}

TEST(ErrorText, BeginsWithTheCode) {
  EXPECT_EQ(ErrorText(absl::OutOfRangeError("norm1 is 1e9")), "OUT_OF_RANGE: norm1 is 1e9\n");
}

TEST(StructureName, IsTheContractsInSmallLetters) {
  EXPECT_EQ(StructureName(v1::STRUCTURE_SKEW_SYMMETRIC), "skew_symmetric");
  EXPECT_EQ(StructureName(static_cast<v1::Structure>(40)), "unknown(40)");
}

TEST(ExitCode, FollowsTheStatus) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::UnimplementedError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::OutOfRangeError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::ResourceExhaustedError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("")), 5);
}

}  // namespace
}  // namespace attend::cli
