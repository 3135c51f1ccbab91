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

std::string RefusalOf(v1::Structure structure, v1::Tensor a) {
  Request request;
  *request.mutable_a() = std::move(a);
  request.set_structure(structure);
  return std::string(Ask(request).status().message());
}

TEST(MatrixExpCodec, NamedStructuresThatDoNotHoldAreRefusedInASentenceWithAllDigits) {
  const auto wide = [](std::vector<double> entries) {
    return RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, std::move(entries));
  };
  EXPECT_EQ(RefusalOf(v1::STRUCTURE_SYMMETRIC, wide({1, 2, std::nextafter(2.0, 3.0), 1})),
            "structure: got matrix 0 of a with entry (1, 0) = 2.0000000000000004 and entry (0, 1) = 2, expected a "
            "symmetric matrix: each entry equal to its mirror image, exactly");
  EXPECT_EQ(RefusalOf(v1::STRUCTURE_SKEW_SYMMETRIC,
                      RawTensor<float>(v1::DATA_TYPE_FLOAT32, {2, 2}, {0, 1, std::nextafter(-1.0f, 0.0f), 0})),
            "structure: got matrix 0 of a with entry (1, 0) = -0.99999994 and entry (0, 1) = 1, expected a "
            "skew-symmetric matrix: 0 on the diagonal, each entry minus its mirror image, exactly");
  EXPECT_EQ(RefusalOf(v1::STRUCTURE_DIAGONAL, wide({1, 0, 1e-300, 1})),
            "structure: got matrix 0 of a with entry (1, 0) = 1e-300, expected a diagonal matrix: nothing but 0 off "
            "the diagonal");
  EXPECT_EQ(
      RefusalOf(v1::STRUCTURE_GENERATOR, wide({-1, 1, 0.5, -1})),
      "structure: got matrix 0 of a with a sum of row 1 = -0.5 (rounding: at most 3.60659e-15) and entry (1, 1) = "
      "-1, expected a generator: entries of at least 0 off the diagonal, rows that sum to 0");
}

TEST(MatrixExpCodec, EmptyMatricesHaveEmptyResults) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{0, 0}, {3, 0, 0}, {0, 4, 4}}) {
    Request request;
    *request.mutable_a() = Floats(shape);
    const auto answer = Ask(request);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(ShapeOf(answer->result()), shape);
    EXPECT_TRUE(answer->result().raw().empty());
    const int matrices = shape.size() == 2 ? 1 : static_cast<int>(shape[0]);
    EXPECT_EQ(answer->reports_size(), matrices);
    request.set_diagnostics(true);
    const auto diagnosed = Ask(request);
    ASSERT_TRUE(diagnosed.ok()) << diagnosed.status();
    EXPECT_EQ(diagnosed->diagnostics_size(), matrices);
    request.set_diagnostics(false);
    std::vector<int64_t> columns = shape;
    columns.back() = 2;
    *request.mutable_apply_to() = Floats(columns);
    *request.mutable_grad_output() = Floats(columns);
    const auto action = Ask(request);
    ASSERT_TRUE(action.ok()) << action.status();
    EXPECT_EQ(ShapeOf(action->result()), columns);
    EXPECT_EQ(ShapeOf(action->grad_a()), shape);
    EXPECT_EQ(ShapeOf(action->grad_apply_to()), columns);
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

TEST(MatrixExpCodec, NamedAndDetectedStructuresComeBackInTheReport) {
  const std::vector<std::pair<v1::Structure, std::vector<double>>> cases = {
      {v1::STRUCTURE_DIAGONAL, {1, 0, 0, 2}},        {v1::STRUCTURE_GENERATOR, {-1, 1, 2, -2}},
      {v1::STRUCTURE_TRIANGULAR, {1, 3, 0, 2}},      {v1::STRUCTURE_SYMMETRIC, {1, 3, 3, 2}},
      {v1::STRUCTURE_SKEW_SYMMETRIC, {0, 3, -3, 0}}, {v1::STRUCTURE_GENERAL, {1, 3, 4, 2}}};
  for (const auto& [structure, a] : cases) {
    Request request;
    *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, a);
    const auto detected = Ask(request);
    ASSERT_TRUE(detected.ok()) << detected.status();
    EXPECT_EQ(detected->reports(0).structure(), structure);
    request.set_structure(structure);
    const auto named = Ask(request);
    ASSERT_TRUE(named.ok()) << named.status();
    EXPECT_EQ(named->result().raw(), detected->result().raw());
    if (structure == v1::STRUCTURE_GENERAL) continue;
    *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {1, 2, 3, 4});
    const auto refused = Ask(request);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ViolatedField(refused.status()), "structure") << refused.status();
  }
}

TEST(MatrixExpCodec, TheActionHasTheShapeOfB) {
  Request request;
  *request.mutable_a() = Doubles({2, 3, 4, 4});
  *request.mutable_apply_to() = Doubles({4, 5});
  const auto shared = Ask(request);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(ShapeOf(shared->result()), (std::vector<int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(shared->reports_size(), 6);
  EXPECT_FALSE(shared->has_grad_a());
  *request.mutable_apply_to() = Doubles({2, 3, 4, 5});
  for (double time : {0.0, 1.0, -0.5}) request.add_times(time);
  const auto own = Ask(request);
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(ShapeOf(own->result()), (std::vector<int64_t>{3, 2, 3, 4, 5}));
  const auto values = ValuesOf<double>(own->result());
  const auto b = ValuesOf<double>(request.apply_to());
  for (size_t k = 0; k < b.size(); ++k) EXPECT_EQ(values[k], b[k]);  // time 0
  *request.mutable_apply_to() = Doubles({2, 3, 4, 0});
  EXPECT_EQ(ShapeOf(Ask(request)->result()), (std::vector<int64_t>{3, 2, 3, 4, 0}));
}

TEST(MatrixExpCodec, GradientsHaveTheShapesOfTheInputs) {
  Request request;
  *request.mutable_a() = Floats({2, 4, 4});
  *request.mutable_grad_output() = Floats({2, 4, 4});
  const auto of_exp = Ask(request);
  ASSERT_TRUE(of_exp.ok()) << of_exp.status();
  EXPECT_EQ(ShapeOf(of_exp->grad_a()), (std::vector<int64_t>{2, 4, 4}));
  EXPECT_FALSE(of_exp->has_grad_apply_to());
  for (double time : {0.5, 1.0}) request.add_times(time);
  *request.mutable_apply_to() = Floats({4, 3});
  *request.mutable_grad_output() = Floats({2, 2, 4, 3});
  const auto of_action = Ask(request);
  ASSERT_TRUE(of_action.ok()) << of_action.status();
  EXPECT_EQ(ShapeOf(of_action->grad_a()), (std::vector<int64_t>{2, 4, 4}));
  EXPECT_EQ(ShapeOf(of_action->grad_apply_to()), (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(of_action->grad_a().dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(of_action->grad_apply_to().dtype(), v1::DATA_TYPE_FLOAT32);
}

TEST(MatrixExpCodec, TheGradientOfANumberIsItsExponential) {
  Request request = ScalarRequest(1);
  request.add_times(2);
  *request.mutable_apply_to() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {5});
  *request.mutable_grad_output() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1, 1}, {3});
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_NEAR(ValuesOf<double>(answer->result())[0], 5 * std::exp(2.0), 1e-13);
  EXPECT_NEAR(ValuesOf<double>(answer->grad_a())[0], 2 * 3 * 5 * std::exp(2.0), 1e-12);
  EXPECT_NEAR(ValuesOf<double>(answer->grad_apply_to())[0], 3 * std::exp(2.0), 1e-13);
}

struct Bad {
  std::string field;
  absl::StatusCode code;
  std::function<void(Request&)> change;
};

TEST(MatrixExpCodec, RefusesWithTheFieldsName) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
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
      {"apply_to", kInvalid,
       [](Request& r) {
         *r.mutable_apply_to() = Doubles({2, 1});
       }},
      {"apply_to.shape", kInvalid,
       [](Request& r) {
         *r.mutable_a() = Doubles({2, 3, 3});
         *r.mutable_apply_to() = Doubles({3, 3, 1});
       }},
      {"apply_to.shape", kInvalid, [](Request& r) { *r.mutable_apply_to() = Doubles({1}); }},
      {"apply_to.dtype", kInvalid,
       [](Request& r) {
         *r.mutable_apply_to() = Floats({1, 1});
       }},
      {"apply_to", kInvalid,
       [](Request& r) {
         *r.mutable_apply_to() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {std::nan("")});
       }},
      {"grad_output.shape", kInvalid,
       [](Request& r) {
         r.add_times(1);
         *r.mutable_grad_output() = Doubles({1, 1});
       }},
      {"grad_output.shape", kInvalid,
       [](Request& r) {
         *r.mutable_apply_to() = Doubles({1, 2});
         *r.mutable_grad_output() = Doubles({1, 1});
       }},
      {"grad_output.dtype", kInvalid,
       [](Request& r) {
         *r.mutable_grad_output() = Floats({1, 1});
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
