#include <gtest/gtest.h>

#include "server/rpc/project_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::ProjectRequest;
using Projection = v1::AlgebraProjection;

absl::StatusOr<v1::ProjectResponse> Ask(const Request& request) {
  return Answer<v1::ProjectResponse>(DecodeProject, request);
}

Request AlgebraRequest(v1::Tensor m, Projection::Target target) {
  Request request;
  *request.mutable_algebra()->mutable_m() = std::move(m);
  request.mutable_algebra()->set_target(target);
  return request;
}

TEST(AlgebraCodec, EveryTarget) {
  // [1 2; 4 9] by hand: generator: rows (-.5, .5) and (0, 0).
  struct Case {
    Projection::Target target;
    std::vector<double> output;
    double square_of_distance;
    double residual;
  };
  const Case cases[] = {{Projection::TARGET_GENERATOR, {-0.5, 0.5, 0, 0}, 2.25 + 2.25 + 16 + 81, 0},
                        {Projection::TARGET_ZERO_ROW_SUM, {-0.5, 0.5, -2.5, 2.5}, 4.5 + 2 * 42.25, 0},
                        {Projection::TARGET_ZERO_ROW_SUM_DIAGONAL, {-2, 2, 4, -4}, 9 + 169, 0},
                        {Projection::TARGET_SKEW_SYMMETRIC, {0, -1, 1, 0}, 1 + 9 + 9 + 81, 0},
                        {Projection::TARGET_SYMMETRIC, {1, 3, 3, 9}, 2, 0},
                        {Projection::TARGET_TRACELESS, {-4, 2, 4, 4}, 50, 0}};
  for (const Case& c : cases) {
    SCOPED_TRACE(Projection::Target_Name(c.target));
    const auto answer = Ask(AlgebraRequest(RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {1, 2, 4, 9}), c.target));
    ASSERT_TRUE(answer.ok()) << answer.status();
    ASSERT_EQ(answer->outputs_size(), 1);
    EXPECT_EQ(ShapeOf(answer->outputs(0)), (std::vector<int64_t>{2, 2}));
    EXPECT_EQ(ValuesOf<double>(answer->outputs(0)), c.output);
    ASSERT_EQ(answer->reports_size(), 1);
    const double distance = answer->reports(0).distance();
    EXPECT_NEAR(distance * distance, c.square_of_distance, 1e-13 * c.square_of_distance);
    EXPECT_EQ(answer->reports(0).residual(), c.residual);
  }
}

TEST(AlgebraCodec, LeadingDimensionsAndReports) {
  const auto answer = Ask(AlgebraRequest(Floats({2, 3, 4, 4}), Projection::TARGET_GENERATOR));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->outputs(0)), (std::vector<int64_t>{2, 3, 4, 4}));
  EXPECT_EQ(answer->outputs(0).dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(answer->reports_size(), 6);
}

TEST(AlgebraCodec, HalvesAreRoundedOnce) {
  const auto answer =
      Ask(AlgebraRequest(RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {1, 1}, {0x3C00}), Projection::TARGET_SYMMETRIC));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ValuesOf<uint16_t>(answer->outputs(0)), std::vector<uint16_t>{0x3C00});
}

TEST(AlgebraCodec, EmptyMatrices) {
  const auto none = Ask(AlgebraRequest(Floats({0, 3, 3}), Projection::TARGET_GENERATOR));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->reports_size(), 0);
  const auto empty = Ask(AlgebraRequest(Floats({2, 0, 0}), Projection::TARGET_TRACELESS));
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_EQ(empty->reports_size(), 2);
}

TEST(AlgebraCodec, RefusesWithTheFieldsName) {
  const auto good = AlgebraRequest(Floats({3, 3}), Projection::TARGET_GENERATOR);
  Request no_target = good, odd_target = good, no_matrix = good;
  no_target.mutable_algebra()->clear_target();
  odd_target.mutable_algebra()->set_target(static_cast<Projection::Target>(9));
  no_matrix.mutable_algebra()->clear_m();
  const std::pair<std::string, Request> bad[] = {
      {"algebra.target", no_target},
      {"algebra.target", odd_target},
      {"algebra.m", no_matrix},
      {"algebra.m", AlgebraRequest(Floats({3, 4}), Projection::TARGET_SYMMETRIC)},
      {"algebra.m.shape", AlgebraRequest(Floats({4}), Projection::TARGET_SYMMETRIC)},
      {"algebra.m.shape", AlgebraRequest(Floats({int64_t{1} << 40, 0, 0}), Projection::TARGET_SYMMETRIC)},
      {"algebra.m.dtype",
       AlgebraRequest(RawTensor<int32_t>(v1::DATA_TYPE_INT32, {1, 1}, {1}), Projection::TARGET_SYMMETRIC)}};
  for (const auto& [field, request] : bad) {
    const auto operation = DecodeWith(DecodeProject, request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), field) << operation.status();
  }
}

}  // namespace
}  // namespace attend::rpc
