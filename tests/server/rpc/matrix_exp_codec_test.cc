#include "server/rpc/matrix_exp_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::MatrixExpRequest;

Request ScalarRequest(double a) {
  Request request;
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {a});
  return request;
}

absl::StatusOr<v1::MatrixExpResponse> Ask(const Request& request) {
  return Answer<v1::MatrixExpResponse>(DecodeMatrixExp, request);
}

TEST(MatrixExpCodec, WithoutTimesThereIsNoTimesDimension) {
  Request request;
  *request.mutable_a() = Doubles({2, 3, 4, 4});
  const auto once = Ask(request);
  ASSERT_TRUE(once.ok()) << once.status();
  EXPECT_EQ(ShapeOf(once->result()), (std::vector<int64_t>{2, 3, 4, 4}));
  EXPECT_EQ(once->reports_size(), 6);
  request.add_times(1);
  const auto listed = Ask(request);
  EXPECT_EQ(ShapeOf(listed->result()), (std::vector<int64_t>{1, 2, 3, 4, 4}));
  EXPECT_EQ(listed->result().raw(), once->result().raw());
  request.add_times(0);
  const auto twice = Ask(request);
  EXPECT_EQ(ShapeOf(twice->result()), (std::vector<int64_t>{2, 2, 3, 4, 4}));
  EXPECT_EQ(twice->reports_size(), 12);
}

TEST(MatrixExpCodec, TimesMultiply) {
  Request request = ScalarRequest(2);
  for (double time : {0.0, 0.5, -1.0}) request.add_times(time);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto values = ValuesOf<double>(answer->result());
  ASSERT_EQ(values.size(), 3u);
  EXPECT_EQ(values[0], 1);
  EXPECT_NEAR(values[1], std::exp(1.0), 1e-15);
  EXPECT_NEAR(values[2], std::exp(-2.0), 1e-16);
}

TEST(MatrixExpCodec, EmptyMatricesHaveEmptyResults) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{0, 0}, {3, 0, 0}, {0, 4, 4}}) {
    Request request;
    *request.mutable_a() = Floats(shape);
    const auto answer = Ask(request);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(ShapeOf(answer->result()), shape);
    EXPECT_TRUE(answer->result().raw().empty());
  }
}

TEST(MatrixExpCodec, AFalseGeneratorIsRefusedByName) {
  Request request;
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {-1, 1, 1, -2});
  request.set_structure(v1::STRUCTURE_GENERATOR);
  const auto answer = Ask(request);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ViolatedField(answer.status()), "structure") << answer.status();
}

TEST(MatrixExpCodec, OverflowIsOutOfRange) {
  const auto answer = Ask(ScalarRequest(1e10));
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kOutOfRange) << answer.status();
}

struct Bad {
  std::string field;
  absl::StatusCode code;
  std::function<void(Request&)> change;
};

TEST(MatrixExpCodec, RefusesWithTheFieldsName) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kLater = absl::StatusCode::kUnimplemented;
  const std::vector<Bad> bad = {
      {"a", kInvalid, [](Request& r) { r.clear_a(); }},
      {"a", kInvalid,
       [](Request& r) {
         *r.mutable_a() = Doubles({2, 3});
       }},
      {"a.shape", kInvalid, [](Request& r) { *r.mutable_a() = Doubles({4}); }},
      {"a.shape", kInvalid,
       [](Request& r) {
         *r.mutable_a() = Doubles({1, 1, 1, 1, 1, 1, 1, 1});
       }},
      {"a.dtype", kInvalid,
       [](Request& r) {
         *r.mutable_a() = RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {1, 1}, {0});
       }},
      {"a.dtype", kInvalid,
       [](Request& r) {
         *r.mutable_a() = RawTensor<uint8_t>(v1::DATA_TYPE_BOOL, {1, 1}, {0});
       }},
      {"a", kInvalid,
       [](Request& r) {
         *r.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {HUGE_VAL});
       }},
      {"times[1]", kInvalid,
       [](Request& r) {
         r.add_times(1);
         r.add_times(std::nan(""));
       }},
      {"times[0]", kInvalid,
       [](Request& r) {
         r.set_structure(v1::STRUCTURE_GENERATOR);
         r.add_times(-1);
       }},
      {"structure", kInvalid, [](Request& r) { r.set_structure(static_cast<v1::Structure>(40)); }},
      {"structure", kLater, [](Request& r) { r.set_structure(v1::STRUCTURE_SKEW_SYMMETRIC); }},
      {"structure", kLater, [](Request& r) { r.set_structure(v1::STRUCTURE_SYMMETRIC); }},
      {"structure", kLater, [](Request& r) { r.set_structure(v1::STRUCTURE_TRIANGULAR); }},
      {"structure", kLater, [](Request& r) { r.set_structure(v1::STRUCTURE_DIAGONAL); }},
      {"apply_to", kLater,
       [](Request& r) {
         *r.mutable_apply_to() = Doubles({1, 1});
       }},
      {"grad_output", kLater,
       [](Request& r) {
         *r.mutable_grad_output() = Doubles({1, 1});
       }},
  };
  for (const Bad& each : bad) {
    Request request = ScalarRequest(1);
    each.change(request);
    const auto operation = DecodeWith(DecodeMatrixExp, request);
    EXPECT_EQ(operation.status().code(), each.code) << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), each.field) << operation.status();
  }
}

}  // namespace
}  // namespace attend::rpc
