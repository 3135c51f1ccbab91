#include "server/rpc/attention_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::AttentionRequest;
using Change = std::function<void(Request&)>;

// [batch 2, heads 4 over 2, n 3, m 5, d 6, d_value 7]
Request HeadsRequest() {
  Request request;
  *request.mutable_heads()->mutable_query() = Floats({2, 4, 3, 6}, 1);
  *request.mutable_heads()->mutable_key() = Floats({2, 2, 5, 6}, 2);
  *request.mutable_heads()->mutable_value() = Floats({2, 2, 5, 7}, 3);
  return request;
}

// [batch 2, n 3, m 5, d_model 8, d_context 10, heads 4 over 2, d 6, d_value 3, d_out 9]
Request TokensRequest() {
  Request request;
  v1::Tokens& tokens = *request.mutable_tokens();
  *tokens.mutable_x() = Floats({2, 3, 8}, 1);
  *tokens.mutable_context() = Floats({2, 5, 10}, 2);
  *tokens.mutable_w_q() = Floats({8, 24}, 3);
  *tokens.mutable_w_k() = Floats({10, 12}, 4);
  *tokens.mutable_w_v() = Floats({10, 6}, 5);
  *tokens.mutable_w_o() = Floats({12, 9}, 6);
  *tokens.mutable_b_q() = Floats({24}, 7);
  *tokens.mutable_b_o() = Floats({9}, 8);
  tokens.set_num_heads(4);
  tokens.set_num_kv_heads(2);
  return request;
}

absl::StatusOr<v1::AttentionResponse> Ask(const Request& request, size_t width = 1 << 16) {
  return Answer<v1::AttentionResponse>(DecodeAttention, request, width);
}

void ReturnEverything(Request& request) {
  for (int output = 1; output <= 4; ++output) request.add_return_outputs(static_cast<v1::AttentionOutput>(output));
}

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
  EXPECT_TRUE(answer->has_stats());

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

TEST(AttentionCodec, NoBatchWithHugeDimensionsIsEmpty) {
  Request request;
  const int64_t huge = int64_t{1} << 61;
  *request.mutable_heads()->mutable_query() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 4, huge, 6}, {});
  *request.mutable_heads()->mutable_key() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 2, huge, 6}, {});
  *request.mutable_heads()->mutable_value() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {0, 2, huge, 6}, {});
  ReturnEverything(request);
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->weights().raw().empty());
}

TEST(AttentionCodec, SizesAreKnownBeforeAnythingIsComputed) {
  // A few bytes that ask for a large answer: the wrapper refuses by these numbers.
  Request request;
  const int64_t n = int64_t{1} << 40;
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

struct Bad {
  std::string what;
  std::string field;
  Request request;
};

std::vector<Bad> BadRequests() {
  std::vector<Bad> bad;
  const auto heads = [&](std::string what, std::string field, const Change& change) {
    Request request = HeadsRequest();
    change(request);
    bad.push_back({std::move(what), std::move(field), std::move(request)});
  };
  const auto tokens = [&](std::string what, std::string field, const Change& change) {
    Request request = TokensRequest();
    change(request);
    bad.push_back({std::move(what), std::move(field), std::move(request)});
  };
  heads("no input", "input", [](Request& r) { r.clear_input(); });
  heads("no query", "heads.query", [](Request& r) { r.mutable_heads()->clear_query(); });
  heads("no key", "heads.key", [](Request& r) { r.mutable_heads()->clear_key(); });
  heads("no value", "heads.value", [](Request& r) { r.mutable_heads()->clear_value(); });
  heads("a vector", "heads.query.shape", [](Request& r) { *r.mutable_heads()->mutable_query() = Floats({6}); });
  heads("five dimensions", "heads.key.shape", [](Request& r) {
    *r.mutable_heads()->mutable_key() = Floats({1, 2, 2, 5, 6});
  });
  heads("columns differ", "heads.key", [](Request& r) { *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 5}); });
  heads("d is 0", "heads.query", [](Request& r) {
    *r.mutable_heads()->mutable_query() = Floats({2, 4, 3, 0});
    *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 0});
  });
  heads("rows differ", "heads.value", [](Request& r) { *r.mutable_heads()->mutable_value() = Floats({2, 2, 4, 7}); });
  heads("batches differ", "heads.key", [](Request& r) { *r.mutable_heads()->mutable_key() = Floats({1, 2, 5, 6}); });
  heads("heads of value differ", "heads.value", [](Request& r) {
    *r.mutable_heads()->mutable_value() = Floats({2, 4, 5, 7});
  });
  heads("heads are no multiple", "heads.key", [](Request& r) {
    *r.mutable_heads()->mutable_key() = Floats({2, 3, 5, 6});
    *r.mutable_heads()->mutable_value() = Floats({2, 3, 5, 7});
  });
  heads("no kv heads", "heads.key", [](Request& r) {
    *r.mutable_heads()->mutable_key() = Floats({2, 0, 5, 6});
    *r.mutable_heads()->mutable_value() = Floats({2, 0, 5, 7});
  });
  heads("mixed dtypes", "heads.key.dtype", [](Request& r) {
    *r.mutable_heads()->mutable_key() = Doubles({2, 2, 5, 6});
  });
  heads("BOOL query", "heads.query.dtype", [](Request& r) {
    *r.mutable_heads()->mutable_query() = RawTensor<uint8_t>(v1::DATA_TYPE_BOOL, {1, 2}, {0, 1});
  });
  heads("INT32 value", "heads.value.dtype", [](Request& r) {
    *r.mutable_heads()->mutable_value() = RawTensor<int32_t>(v1::DATA_TYPE_INT32, {1, 2}, {0, 1});
  });
  heads("infinite scale", "score.scaled_dot_product.scale",
        [](Request& r) { r.mutable_score()->mutable_scaled_dot_product()->set_scale(HUGE_VAL); });
  heads("NaN scale", "score.scaled_dot_product.scale",
        [](Request& r) { r.mutable_score()->mutable_scaled_dot_product()->set_scale(std::nan("")); });
  heads("a scale beyond float32", "score.scaled_dot_product.scale",
        [](Request& r) { r.mutable_score()->mutable_scaled_dot_product()->set_scale(1e39); });
  heads("unknown causal", "mask.causal", [](Request& r) { r.mutable_mask()->set_causal(static_cast<v1::Causal>(7)); });
  heads("too few lengths", "mask.key_lengths", [](Request& r) { r.mutable_mask()->add_key_lengths(3); });
  heads("negative length", "mask.key_lengths[1]", [](Request& r) {
    r.mutable_mask()->add_key_lengths(3);
    r.mutable_mask()->add_key_lengths(-1);
  });
  heads("length beyond m", "mask.key_lengths[0]", [](Request& r) {
    r.mutable_mask()->add_key_lengths(6);
    r.mutable_mask()->add_key_lengths(1);
  });
  heads("allowed is no BOOL", "mask.allowed.dtype", [](Request& r) {
    *r.mutable_mask()->mutable_allowed() = Floats({3, 5});
  });
  heads("allowed does not broadcast", "mask.allowed.shape", [](Request& r) {
    *r.mutable_mask()->mutable_allowed() = RawTensor<uint8_t>(v1::DATA_TYPE_BOOL, {2, 5}, std::vector<uint8_t>(10));
  });
  heads("bias does not broadcast", "mask.bias.shape", [](Request& r) {
    *r.mutable_mask()->mutable_bias() = Floats({1, 1, 1, 3, 5});
  });
  heads("bias of another dtype", "mask.bias.dtype",
        [](Request& r) { *r.mutable_mask()->mutable_bias() = Doubles({5}); });
  heads("bias is +infinity", "mask.bias", [](Request& r) {
    *r.mutable_mask()->mutable_bias() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {1}, {HUGE_VALF});
  });
  heads("bias is NaN", "mask.bias", [](Request& r) {
    *r.mutable_mask()->mutable_bias() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {1}, {std::nanf("")});
  });
  heads("query is -infinity", "heads.query", [](Request& r) {
    *r.mutable_heads()->mutable_query() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {1, 1}, {-HUGE_VALF});
  });
  heads("generator of a rectangle", "normalization.generator_exp",
        [](Request& r) { r.mutable_normalization()->mutable_generator_exp(); });
  heads("unknown rate", "normalization.generator_exp.rate", [](Request& r) {
    r.mutable_normalization()->mutable_generator_exp()->set_rate(static_cast<v1::GeneratorExp::Rate>(9));
  });
  heads("negative time", "normalization.generator_exp.time",
        [](Request& r) { r.mutable_normalization()->mutable_generator_exp()->set_time(-1); });
  heads("NaN time", "normalization.generator_exp.time",
        [](Request& r) { r.mutable_normalization()->mutable_generator_exp()->set_time(std::nan("")); });
  heads("unknown output", "return_outputs[1]", [](Request& r) {
    r.add_return_outputs(v1::ATTENTION_OUTPUT_LSE);
    r.add_return_outputs(static_cast<v1::AttentionOutput>(12));
  });
  heads("unspecified output", "return_outputs[0]",
        [](Request& r) { r.add_return_outputs(v1::ATTENTION_OUTPUT_UNSPECIFIED); });
  heads("BOOL output_dtype", "output_dtype", [](Request& r) { r.set_output_dtype(v1::DATA_TYPE_BOOL); });
  heads("unknown output_dtype", "output_dtype", [](Request& r) { r.set_output_dtype(static_cast<v1::DataType>(50)); });

  tokens("no x", "tokens.x", [](Request& r) { r.mutable_tokens()->clear_x(); });
  tokens("no w_q", "tokens.w_q", [](Request& r) { r.mutable_tokens()->clear_w_q(); });
  tokens("no w_k", "tokens.w_k", [](Request& r) { r.mutable_tokens()->clear_w_k(); });
  tokens("no w_v", "tokens.w_v", [](Request& r) { r.mutable_tokens()->clear_w_v(); });
  tokens("x is a vector", "tokens.x.shape", [](Request& r) { *r.mutable_tokens()->mutable_x() = Floats({8}); });
  tokens("batches differ", "tokens.context", [](Request& r) {
    *r.mutable_tokens()->mutable_context() = Floats({5, 10});
  });
  tokens("w_q has other rows", "tokens.w_q", [](Request& r) { *r.mutable_tokens()->mutable_w_q() = Floats({9, 24}); });
  tokens("w_k for x instead of context", "tokens.w_k", [](Request& r) {
    *r.mutable_tokens()->mutable_w_k() = Floats({8, 12});
  });
  tokens("columns not by heads", "tokens.w_q", [](Request& r) {
    *r.mutable_tokens()->mutable_w_q() = Floats({8, 22});
  });
  tokens("w_k of another d", "tokens.w_k", [](Request& r) { *r.mutable_tokens()->mutable_w_k() = Floats({10, 14}); });
  tokens("w_q without columns", "tokens.w_q", [](Request& r) { *r.mutable_tokens()->mutable_w_q() = Floats({8, 0}); });
  tokens("w_o has other rows", "tokens.w_o", [](Request& r) { *r.mutable_tokens()->mutable_w_o() = Floats({11, 9}); });
  tokens("short b_q", "tokens.b_q", [](Request& r) { *r.mutable_tokens()->mutable_b_q() = Floats({23}); });
  tokens("b_o is a matrix", "tokens.b_o.shape", [](Request& r) {
    *r.mutable_tokens()->mutable_b_o() = Floats({1, 9});
  });
  tokens("kv heads are no divisor", "tokens.num_kv_heads", [](Request& r) { r.mutable_tokens()->set_num_kv_heads(3); });
  tokens("more kv heads than heads", "tokens.num_kv_heads",
         [](Request& r) { r.mutable_tokens()->set_num_kv_heads(8); });
  return bad;
}

TEST(AttentionCodec, RefusesWithTheFieldsName) {
  for (const Bad& bad : BadRequests()) {
    const auto operation = DecodeWith(DecodeAttention, bad.request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << bad.what << ": " << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), bad.field) << bad.what << ": " << operation.status();
  }
}

TEST(AttentionCodec, WhatIsNotServedIsNeverIgnored) {
  std::vector<Bad> later;
  const auto add = [&](std::string field, const Change& change) {
    Request request = HeadsRequest();
    change(request);
    later.push_back({field, field, std::move(request)});
  };
  add("score.additive", [](Request& r) { r.mutable_score()->mutable_additive(); });
  add("score.bilinear", [](Request& r) { r.mutable_score()->mutable_bilinear(); });
  add("mask.window_left", [](Request& r) { r.mutable_mask()->set_window_left(0); });
  add("mask.window_right", [](Request& r) { r.mutable_mask()->set_window_right(4); });
  add("mask.alibi_slopes", [](Request& r) { r.mutable_mask()->add_alibi_slopes(0.5f); });
  add("position.sinusoidal", [](Request& r) { r.mutable_position()->mutable_sinusoidal(); });
  add("position.rotary", [](Request& r) { r.mutable_position()->mutable_rotary(); });
  add("normalization.softmax.softcap",
      [](Request& r) { r.mutable_normalization()->mutable_softmax()->set_softcap(30); });
  add("grad_output", [](Request& r) { *r.mutable_grad_output() = Floats({2, 4, 3, 7}); });
  for (const Bad& request : later) {
    const auto operation = DecodeWith(DecodeAttention, request.request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kUnimplemented) << request.what;
    EXPECT_EQ(ViolatedField(operation.status()), request.field) << operation.status();
  }
}

TEST(AttentionCodec, RandomBytesNeverCrash) {
  std::mt19937 random(7);
  runtime::BufferPool pool;
  const std::string seeds[] = {HeadsRequest().SerializeAsString(), TokensRequest().SerializeAsString()};
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = seeds[round % 2];
    for (int change = 0; change < 1 + round % 5; ++change) {
      // Mostly the first bytes, where tags and lengths stand.
      const size_t place = random() % (random() % 2 == 0 ? 40 : bytes.size());
      bytes[place] = static_cast<char>(random());
    }
    const SlicedBytes sliced(bytes, 1 + random() % 50);
    const auto operation = DecodeAttention(sliced.spans(), pool);
    if (operation.ok()) continue;
    EXPECT_TRUE(operation.status().code() == absl::StatusCode::kInvalidArgument ||
                operation.status().code() == absl::StatusCode::kUnimplemented)
        << operation.status();
    EXPECT_NE(ViolatedField(operation.status()), "");
  }
}

}  // namespace
}  // namespace attend::rpc
