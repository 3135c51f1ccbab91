#include "server/rpc/project_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::ProjectRequest;

absl::StatusOr<v1::ProjectResponse> Ask(const Request& request) {
  return Answer<v1::ProjectResponse>(DecodeProject, request);
}

Request LinearRequest() {
  Request request;
  v1::LinearProjection& linear = *request.mutable_linear();
  *linear.mutable_x() = Floats({2, 3, 4}, 1);
  *linear.add_w() = Floats({4, 5}, 2);
  *linear.add_w() = Floats({4, 2}, 3);
  *linear.add_b() = Floats({5}, 4);
  *linear.add_b() = Floats({2}, 5);
  return request;
}

Request CongruenceRequest() {
  Request request;
  *request.mutable_congruence()->mutable_e() = Floats({3, 4}, 1);
  *request.mutable_congruence()->mutable_a() = Floats({4, 4}, 2);
  return request;
}

TEST(ProjectCodec, LinearAnswersOneOutputPerWeight) {
  const auto answer = Ask(LinearRequest());
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->outputs_size(), 2);
  EXPECT_EQ(ShapeOf(answer->outputs(0)), (std::vector<int64_t>{2, 3, 5}));
  EXPECT_EQ(ShapeOf(answer->outputs(1)), (std::vector<int64_t>{2, 3, 2}));
  const auto x = SomeValues<float>(24, 1), w = SomeValues<float>(20, 2), b = SomeValues<float>(5, 4);
  const auto got = ValuesOf<float>(answer->outputs(0));
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 5; ++j) {
      double sum = b[j];
      for (int k = 0; k < 4; ++k) sum += double{x[i * 4 + k]} * w[k * 5 + j];
      EXPECT_NEAR(got[i * 5 + j], sum, 1e-6) << i << ", " << j;  // five terms of magnitude below 2, eps 6e-8
    }
  }
}

TEST(ProjectCodec, LinearTakesHalvesAndReturnsThem) {
  Request request;
  *request.mutable_linear()->mutable_x() =
      RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {1, 2}, {0x3C00, 0x4000});                                   // 1, 2
  *request.mutable_linear()->add_w() = RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {2, 1}, {0x4200, 0x3C00});  // 3, 1
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->outputs(0).dtype(), v1::DATA_TYPE_FLOAT16);
  EXPECT_EQ(ValuesOf<uint16_t>(answer->outputs(0)), std::vector<uint16_t>{0x4500});  // 5
}

TEST(ProjectCodec, CongruenceShapesFollowTheForm) {
  const auto sequence = Ask(CongruenceRequest());
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  EXPECT_EQ(ShapeOf(sequence->outputs(0)), (std::vector<int64_t>{3, 3}));
  Request embedding = CongruenceRequest();
  embedding.mutable_congruence()->set_form(v1::Congruence::FORM_EMBEDDING);
  *embedding.mutable_congruence()->mutable_a() = Floats({3, 3}, 2);
  const auto square = Ask(embedding);
  ASSERT_TRUE(square.ok()) << square.status();
  EXPECT_EQ(ShapeOf(square->outputs(0)), (std::vector<int64_t>{4, 4}));
}

TEST(ProjectCodec, CongruenceReportsTheRankOfItsMatrix) {
  const auto full = Ask(CongruenceRequest());
  ASSERT_EQ(full->reports_size(), 1);
  Request factors;
  *factors.mutable_congruence()->mutable_e() = Floats({3, 4}, 1);
  *factors.mutable_congruence()->mutable_factors()->mutable_w_query() = Floats({4, 2}, 2);
  *factors.mutable_congruence()->mutable_factors()->mutable_w_key() = Floats({4, 2}, 3);
  const auto two = Ask(factors);
  ASSERT_EQ(two->reports_size(), 1);
  EXPECT_EQ(two->reports(0).numerical_rank(), 2u);
  Request large;
  *large.mutable_congruence()->mutable_e() = Floats({1, 300}, 1);
  *large.mutable_congruence()->mutable_a() = Floats({300, 300}, 2);
  EXPECT_EQ(Ask(large)->reports_size(), 0);  // a report would cost more than the projection
  *large.mutable_congruence()->mutable_e() = Floats({300, 300}, 1);
  const auto by_qr = Ask(large);
  ASSERT_EQ(by_qr->reports_size(), 1);
  EXPECT_TRUE(by_qr->reports(0).rank_by_qr());
  EXPECT_EQ(by_qr->reports(0).numerical_rank(), 18u);  // rows are shifts of 19 values that sum to 0
  *large.mutable_congruence()->mutable_e() = Floats({1200, 300}, 1);
  const auto by_values = Ask(large);
  ASSERT_EQ(by_values->reports_size(), 1);
  EXPECT_FALSE(by_values->reports(0).rank_by_qr());
  EXPECT_EQ(by_values->reports(0).numerical_rank(), 18u);
}

TEST(ProjectCodec, CongruenceDefaultScales) {
  Request unit = CongruenceRequest();
  unit.mutable_congruence()->set_scale(1);
  const auto plain = ValuesOf<float>(Ask(unit)->outputs(0));
  const auto scaled = ValuesOf<float>(Ask(CongruenceRequest())->outputs(0));
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(scaled[i], plain[i] / 2, 1e-6);  // 1 / sqrt(4)

  Request factors;
  *factors.mutable_congruence()->mutable_e() = Floats({3, 4}, 1);
  *factors.mutable_congruence()->mutable_factors()->mutable_w_query() = Floats({4, 9}, 2);
  *factors.mutable_congruence()->mutable_factors()->mutable_w_key() = Floats({4, 9}, 3);
  Request unit_factors = factors;
  unit_factors.mutable_congruence()->set_scale(1);
  const auto by_factors = ValuesOf<float>(Ask(factors)->outputs(0));
  const auto plain_factors = ValuesOf<float>(Ask(unit_factors)->outputs(0));
  for (size_t i = 0; i < by_factors.size(); ++i) EXPECT_NEAR(by_factors[i], plain_factors[i] / 3, 1e-5);  // 1 / sqrt(9)
}

TEST(ProjectCodec, EmptyDimensions) {
  Request request;
  *request.mutable_linear()->mutable_x() = Floats({0, 4});
  *request.mutable_linear()->add_w() = Floats({4, 3});
  EXPECT_EQ(ShapeOf(Ask(request)->outputs(0)), (std::vector<int64_t>{0, 3}));
  Request no_columns;
  *no_columns.mutable_linear()->mutable_x() = Floats({2, 0});
  *no_columns.mutable_linear()->add_w() = Floats({0, 3});
  *no_columns.mutable_linear()->add_b() = Floats({3}, 5);
  const auto bias = SomeValues<float>(3, 5);
  EXPECT_EQ(ValuesOf<float>(Ask(no_columns)->outputs(0)),
            (std::vector<float>{bias[0], bias[1], bias[2], bias[0], bias[1], bias[2]}));
  Request no_rows = CongruenceRequest();
  *no_rows.mutable_congruence()->mutable_e() = Floats({0, 4});
  EXPECT_EQ(ShapeOf(Ask(no_rows)->outputs(0)), (std::vector<int64_t>{0, 0}));
}

struct Bad {
  std::string field;
  Request request;
};

TEST(ProjectCodec, RefusesWithTheFieldsName) {
  std::vector<Bad> bad;
  const auto add = [&](std::string field, Request request, const std::function<void(Request&)>& change) {
    change(request);
    bad.push_back({std::move(field), std::move(request)});
  };
  add("operation", Request(), [](Request&) {});

  add("linear.x", LinearRequest(), [](Request& r) { r.mutable_linear()->clear_x(); });
  add("linear.x.shape", LinearRequest(), [](Request& r) { *r.mutable_linear()->mutable_x() = Floats({4}); });
  add("linear.w", LinearRequest(), [](Request& r) { r.mutable_linear()->clear_w(); });
  add("linear.w[1]", LinearRequest(), [](Request& r) { *r.mutable_linear()->mutable_w(1) = Floats({3, 2}); });
  add("linear.w[0].shape", LinearRequest(), [](Request& r) { *r.mutable_linear()->mutable_w(0) = Floats({4}); });
  add("linear.w[1].dtype", LinearRequest(), [](Request& r) { *r.mutable_linear()->mutable_w(1) = Doubles({4, 2}); });
  add("linear.b", LinearRequest(), [](Request& r) { r.mutable_linear()->mutable_b()->RemoveLast(); });
  add("linear.b[1]", LinearRequest(), [](Request& r) { *r.mutable_linear()->mutable_b(1) = Floats({3}); });

  const auto congruence = [](Request& r) { return r.mutable_congruence(); };
  add("congruence.e", CongruenceRequest(), [&](Request& r) { congruence(r)->clear_e(); });
  add("congruence.e.shape", CongruenceRequest(), [&](Request& r) { *congruence(r)->mutable_e() = Floats({1, 3, 4}); });
  add("congruence.e", CongruenceRequest(), [&](Request& r) { *congruence(r)->mutable_e() = Floats({3, 0}); });
  add("congruence.operand", CongruenceRequest(), [&](Request& r) { congruence(r)->clear_operand(); });
  add("congruence.a", CongruenceRequest(), [&](Request& r) { *congruence(r)->mutable_a() = Floats({3, 3}); });
  add("congruence.a", CongruenceRequest(), [&](Request& r) { *congruence(r)->mutable_a() = Floats({4, 3}); });
  add("congruence.form", CongruenceRequest(),
      [&](Request& r) { congruence(r)->set_form(static_cast<v1::Congruence::Form>(5)); });
  add("congruence.scale", CongruenceRequest(), [&](Request& r) { congruence(r)->set_scale(std::nan("")); });
  add("congruence.factors.w_key", CongruenceRequest(), [&](Request& r) {
    *congruence(r)->mutable_factors()->mutable_w_query() = Floats({4, 2});
  });
  add("congruence.factors.w_query", CongruenceRequest(), [&](Request& r) {
    *congruence(r)->mutable_factors()->mutable_w_key() = Floats({4, 2});
  });
  add("congruence.factors.w_query", CongruenceRequest(), [&](Request& r) {
    *congruence(r)->mutable_factors()->mutable_w_query() = Floats({3, 2});
    *congruence(r)->mutable_factors()->mutable_w_key() = Floats({3, 2});
  });
  add("congruence.factors.w_key", CongruenceRequest(), [&](Request& r) {
    *congruence(r)->mutable_factors()->mutable_w_query() = Floats({4, 2});
    *congruence(r)->mutable_factors()->mutable_w_key() = Floats({4, 3});
  });
  for (const Bad& each : bad) {
    const auto operation = DecodeWith(DecodeProject, each.request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), each.field) << operation.status();
  }
}

}  // namespace
}  // namespace attend::rpc
