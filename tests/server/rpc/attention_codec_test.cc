#include "server/rpc/attention_codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/rpc/attention_requests.h"

namespace attend::rpc {
namespace {

using Request = v1::AttentionRequest;

TEST(AttentionCodec, AnswersHaveTheContractsShapes) {
  Request request = HeadsRequest();
  ReturnEverything(request);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->output()), (std::vector<int64_t>{2, 4, 3, 7}));
  EXPECT_EQ(ShapeOf(answer->weights()), (std::vector<int64_t>{2, 4, 3, 5}));
  EXPECT_EQ(ShapeOf(answer->scores()), (std::vector<int64_t>{2, 4, 3, 5}));
  EXPECT_EQ(ShapeOf(answer->lse()), (std::vector<int64_t>{2, 4, 3}));
  EXPECT_EQ(ShapeOf(answer->entropy()), (std::vector<int64_t>{2, 4, 3}));

  Request tokens = TokensRequest();
  ReturnEverything(tokens);
  const auto merged = Ask(tokens);
  ASSERT_TRUE(merged.ok()) << merged.status();
  EXPECT_EQ(ShapeOf(merged->output()), (std::vector<int64_t>{2, 3, 9}));
  EXPECT_EQ(ShapeOf(merged->weights()), (std::vector<int64_t>{2, 4, 3, 5}));
  EXPECT_EQ(ShapeOf(merged->lse()), (std::vector<int64_t>{2, 4, 3}));
}

TEST(AttentionCodec, OnlyWhatIsAskedForComesBack) {
  const auto answer = Ask(HeadsRequest());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->has_output());
  EXPECT_FALSE(answer->has_weights() || answer->has_scores() || answer->has_lse() || answer->has_entropy());
}

TEST(AttentionCodec, LeadingDimensionsLeftOutStayOut) {
  Request request;
  *request.mutable_heads()->mutable_query() = Floats({3, 6});
  *request.mutable_heads()->mutable_key() = Floats({5, 6});
  *request.mutable_heads()->mutable_value() = Floats({5, 7});
  ReturnEverything(request);
  const auto matrices = Ask(request);
  ASSERT_TRUE(matrices.ok()) << matrices.status();
  EXPECT_EQ(ShapeOf(matrices->output()), (std::vector<int64_t>{3, 7}));
  EXPECT_EQ(ShapeOf(matrices->weights()), (std::vector<int64_t>{3, 5}));
  EXPECT_EQ(ShapeOf(matrices->lse()), (std::vector<int64_t>{3}));

  *request.mutable_heads()->mutable_query() = Floats({2, 3, 6});
  const auto heads = Ask(request);  // two heads share the one kv head
  ASSERT_TRUE(heads.ok()) << heads.status();
  EXPECT_EQ(ShapeOf(heads->output()), (std::vector<int64_t>{2, 3, 7}));
  EXPECT_EQ(ShapeOf(heads->entropy()), (std::vector<int64_t>{2, 3}));

  Request tokens = TokensRequest();
  *tokens.mutable_tokens()->mutable_x() = Floats({3, 8});
  *tokens.mutable_tokens()->mutable_context() = Floats({5, 10});
  ReturnEverything(tokens);
  const auto one = Ask(tokens);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(ShapeOf(one->output()), (std::vector<int64_t>{3, 9}));
  EXPECT_EQ(ShapeOf(one->weights()), (std::vector<int64_t>{4, 3, 5}));
}

TEST(AttentionCodec, SlicesMakeNoDifference) {
  const auto whole = Ask(HeadsRequest());
  ASSERT_TRUE(whole.ok());
  for (size_t width : {1, 2, 5, 13, 100}) {
    const auto sliced = Ask(HeadsRequest(), width);
    ASSERT_TRUE(sliced.ok());
    EXPECT_EQ(sliced->output().raw(), whole->output().raw());
  }
}

TEST(AttentionCodec, DefaultScaleIsOneOverRootD) {
  Request scaled = HeadsRequest();
  scaled.mutable_score()->mutable_scaled_dot_product()->set_scale(1 / std::sqrt(6.0));
  EXPECT_EQ(Ask(scaled)->output().raw(), Ask(HeadsRequest())->output().raw());
  Request dot = HeadsRequest(), scale_one = HeadsRequest();
  dot.mutable_score()->mutable_dot_product();
  scale_one.mutable_score()->mutable_scaled_dot_product()->set_scale(1);
  EXPECT_EQ(Ask(dot)->output().raw(), Ask(scale_one)->output().raw());
  EXPECT_NE(Ask(dot)->output().raw(), Ask(HeadsRequest())->output().raw());
}

TEST(AttentionCodec, ABilinearScoreOfTheIdentityIsADotProduct) {
  Request bilinear = HeadsRequest(), dot = HeadsRequest();
  std::vector<float> identity(36, 0);
  for (size_t i = 0; i < 6; ++i) identity[7 * i] = 1;
  *bilinear.mutable_score()->mutable_bilinear()->mutable_w() = RawTensor(v1::DATA_TYPE_FLOAT32, {6, 6}, identity);
  dot.mutable_score()->mutable_dot_product();
  EXPECT_LE(Difference(Ask(bilinear)->output(), Ask(dot)->output()), 1e-6);
  bilinear.mutable_score()->mutable_bilinear()->set_scale(0.25);
  dot.mutable_score()->mutable_scaled_dot_product()->set_scale(0.25);
  EXPECT_LE(Difference(Ask(bilinear)->output(), Ask(dot)->output()), 1e-6);
}

TEST(AttentionCodec, AnAdditiveScoreOfZeroWeightsIsTheMean) {
  Request additive = HeadsRequest();
  AddAdditive(additive, 6);
  const auto scored = Ask(additive);
  ASSERT_TRUE(scored.ok()) << scored.status();
  *additive.mutable_score()->mutable_additive()->mutable_w_score() =
      RawTensor<float>(v1::DATA_TYPE_FLOAT32, {3}, {0, 0, 0});
  additive.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  const auto mean = Ask(additive);
  for (const float weight : ValuesOf<float>(mean->weights())) EXPECT_NEAR(weight, 0.2, 1e-7);
  EXPECT_GT(Difference(scored->output(), mean->output()), 1e-3);
}

TEST(AttentionCodec, KeysHaveColumnsOfTheirOwnWhereTheScoreHasAParameterForThem) {
  for (const int64_t d_key : {1, 4, 9}) {
    for (void (*add)(Request&, int64_t) : {AddAdditive, AddBilinear}) {
      Request heads = HeadsRequest();
      add(heads, d_key);
      *heads.mutable_heads()->mutable_key() = Floats({2, 2, 5, d_key}, 2);
      EXPECT_TRUE(Ask(heads).ok()) << Ask(heads).status();
      Request tokens = TokensRequest();
      add(tokens, d_key);
      *tokens.mutable_tokens()->mutable_w_k() = Floats({10, 2 * d_key}, 4);
      *tokens.mutable_tokens()->mutable_b_k() = Floats({2 * d_key}, 5);
      EXPECT_TRUE(Ask(tokens).ok()) << Ask(tokens).status();
    }
  }
}

TEST(AttentionCodec, WindowsHideWhatTheySay) {
  Request request = HeadsRequest();  // query i stands at i + 2
  request.mutable_mask()->set_window_left(0);
  request.mutable_mask()->set_window_right(1);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  const auto weights = ValuesOf<float>(Ask(request)->weights());
  for (size_t e = 0; e < weights.size(); ++e) {
    const size_t place = e / 5 % 3 + 2, key = e % 5;
    EXPECT_EQ(weights[e] > 0, key == place || key == place + 1) << e;
  }
  request.mutable_mask()->set_window_left(0xFFFFFFFF);
  request.mutable_mask()->set_window_right(0xFFFFFFFF);
  request.clear_return_outputs();
  EXPECT_LE(Difference(Ask(request)->output(), Ask(HeadsRequest())->output()), 0);
}

TEST(AttentionCodec, SlopesAreSubtractedPerHead) {
  Request alibi = HeadsRequest(), plain = HeadsRequest();
  for (const float slope : {0.0f, 0.5f, 1.0f, -2.0f}) alibi.mutable_mask()->add_alibi_slopes(slope);
  alibi.add_return_outputs(v1::ATTENTION_OUTPUT_SCORES);
  plain.add_return_outputs(v1::ATTENTION_OUTPUT_SCORES);
  const auto got = ValuesOf<float>(Ask(alibi)->scores());
  const auto raw = ValuesOf<float>(Ask(plain)->scores());
  for (size_t e = 0; e < got.size(); ++e) {
    const int head = static_cast<int>(e / 15 % 4), place = static_cast<int>(e / 5 % 3 + 2),
              key = static_cast<int>(e % 5);
    EXPECT_NEAR(got[e], raw[e] - alibi.mask().alibi_slopes(head) * static_cast<float>(std::abs(place - key)), 1e-6);
  }
}

TEST(AttentionCodec, PositionsHaveTheirDefaults) {
  const std::string none = Ask(HeadsRequest())->output().raw();
  Request sinusoidal = HeadsRequest(), rotary = HeadsRequest();
  sinusoidal.mutable_position()->mutable_sinusoidal();
  rotary.mutable_position()->mutable_rotary();
  for (Request* request : {&sinusoidal, &rotary}) {
    const std::string by_default = Ask(*request)->output().raw();
    EXPECT_NE(by_default, none);
    if (request->position().has_rotary()) {
      request->mutable_position()->mutable_rotary()->set_base(10000);
      request->mutable_position()->mutable_rotary()->set_layout(v1::Rotary::LAYOUT_HALF);
    } else {
      request->mutable_position()->mutable_sinusoidal()->set_base(10000);
    }
    EXPECT_EQ(Ask(*request)->output().raw(), by_default);
  }
  rotary.mutable_position()->mutable_rotary()->set_layout(v1::Rotary::LAYOUT_INTERLEAVED);
  const std::string interleaved = Ask(rotary)->output().raw();
  rotary.mutable_position()->mutable_rotary()->set_layout(v1::Rotary::LAYOUT_HALF);
  EXPECT_NE(interleaved, Ask(rotary)->output().raw());
  rotary.mutable_position()->mutable_rotary()->set_base(100);
  EXPECT_NE(interleaved, Ask(rotary)->output().raw());
}

TEST(AttentionCodec, SoftcapBoundsTheScores) {
  Request request = HeadsRequest();
  request.mutable_score()->mutable_scaled_dot_product()->set_scale(100);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_SCORES);
  request.mutable_normalization()->mutable_softmax()->set_softcap(0.5);
  for (const float score : ValuesOf<float>(Ask(request)->scores())) EXPECT_LE(std::fabs(score), 0.5f);
  request.mutable_normalization()->mutable_softmax()->set_softcap(0);  // none
  Request plain = request;
  plain.clear_normalization();
  EXPECT_EQ(Ask(request)->scores().raw(), Ask(plain)->scores().raw());
}

TEST(AttentionCodec, OutputDTypeIsHonoured) {
  for (v1::DataType dtype :
       {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_FLOAT16}) {
    Request request = HeadsRequest();
    request.set_output_dtype(dtype);
    ReturnEverything(request);
    const auto answer = Ask(request);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->output().dtype(), dtype);
    EXPECT_EQ(answer->weights().dtype(), dtype);
    const v1::DataType rows = dtype == v1::DATA_TYPE_FLOAT64 ? v1::DATA_TYPE_FLOAT64 : v1::DATA_TYPE_FLOAT32;
    EXPECT_EQ(answer->lse().dtype(), rows);
    EXPECT_EQ(answer->entropy().dtype(), rows);
  }
}

TEST(AttentionCodec, HalvesComeBackAsTheyCame) {
  Request request;
  const std::vector<uint16_t> ones(12, 0x3F80);
  for (auto* tensor : {request.mutable_heads()->mutable_query(), request.mutable_heads()->mutable_key(),
                       request.mutable_heads()->mutable_value()}) {
    *tensor = RawTensor(v1::DATA_TYPE_BFLOAT16, {3, 4}, ones);
  }
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->output().dtype(), v1::DATA_TYPE_BFLOAT16);
  EXPECT_EQ(ValuesOf<uint16_t>(answer->output()), ones);  // the mean of ones
}

TEST(AttentionCodec, MasksBroadcastFromTheRight) {
  // One row of lengths or a mask that says the same: key 3 and 4 hidden everywhere.
  Request lengths = HeadsRequest();
  lengths.mutable_mask()->add_key_lengths(3);
  lengths.mutable_mask()->add_key_lengths(3);
  const std::string expected = Ask(lengths)->output().raw();
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{5}, {1, 5}, {3, 5}, {1, 1, 5}, {4, 1, 5}, {2, 1, 3, 5}, {2, 4, 3, 5}}) {
    std::vector<uint8_t> allowed;
    std::vector<float> bias;
    for (int64_t i = 0; i < Count(shape); ++i) {
      allowed.push_back(i % 5 < 3);
      bias.push_back(i % 5 < 3 ? 0 : -HUGE_VALF);
    }
    Request by_mask = HeadsRequest(), by_bias = HeadsRequest();
    *by_mask.mutable_mask()->mutable_allowed() = RawTensor(v1::DATA_TYPE_BOOL, shape, allowed);
    *by_bias.mutable_mask()->mutable_bias() = RawTensor(v1::DATA_TYPE_FLOAT32, shape, bias);
    for (const Request& request : {by_mask, by_bias}) {
      const auto answer = Ask(request);
      ASSERT_TRUE(answer.ok()) << answer.status();
      const auto got = ValuesOf<float>(answer->output());
      Request plain = lengths;
      const auto want = ValuesOf<float>(Ask(plain)->output());
      for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6);
    }
  }
}

TEST(AttentionCodec, NoQueriesGiveAnEmptyAnswer) {
  Request request = HeadsRequest();
  *request.mutable_heads()->mutable_query() = Floats({2, 4, 0, 6});
  ReturnEverything(request);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->output()), (std::vector<int64_t>{2, 4, 0, 7}));
  EXPECT_TRUE(answer->output().raw().empty());
  EXPECT_EQ(ShapeOf(answer->lse()), (std::vector<int64_t>{2, 4, 0}));
}

TEST(AttentionCodec, NoKeysGiveZeros) {
  Request request = HeadsRequest();
  *request.mutable_heads()->mutable_key() = Floats({2, 2, 0, 6});
  *request.mutable_heads()->mutable_value() = Floats({2, 2, 0, 7});
  ReturnEverything(request);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ValuesOf<float>(answer->output()), std::vector<float>(2 * 4 * 3 * 7, 0.0f));
  EXPECT_EQ(ValuesOf<float>(answer->lse()), std::vector<float>(2 * 4 * 3, -HUGE_VALF));
  EXPECT_EQ(ValuesOf<float>(answer->entropy()), std::vector<float>(2 * 4 * 3, 0.0f));
}

TEST(AttentionCodec, NoBatchWithLargeDimensionsIsEmpty) {
  Request request;
  const int64_t many = int64_t{1} << 15;
  *request.mutable_heads()->mutable_query() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 4, many, 6}, {});
  *request.mutable_heads()->mutable_key() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 2, many, 6}, {});
  *request.mutable_heads()->mutable_value() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 2, many, 6}, {});
  ReturnEverything(request);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->weights().raw().empty());
}

TEST(AttentionCodec, SizesAreKnownBeforeAnythingIsComputed) {
  // A few bytes that ask for a large answer: the wrapper refuses by these numbers.
  Request request;
  const int64_t n = int64_t{1} << 20;
  *request.mutable_tokens()->mutable_x() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {n, 0}, {});
  *request.mutable_tokens()->mutable_w_q() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 8}, {});
  *request.mutable_tokens()->mutable_w_k() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 8}, {});
  *request.mutable_tokens()->mutable_w_v() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 8}, {});
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  const auto operation = DecodeWith(DecodeAttention, request);
  ASSERT_TRUE(operation.ok()) << operation.status();
  EXPECT_GE((*operation)->ResponseBytes(), 4.0 * static_cast<double>(n) * static_cast<double>(n));
  EXPECT_GE((*operation)->WorkspaceBytes(2), 4.0 * static_cast<double>(n) * 8);
}

}  // namespace
}  // namespace attend::rpc
