// What the attention codec refuses, and how it says so.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

#include "tests/server/rpc/attention_requests.h"

namespace attend::rpc {
namespace {

using Request = v1::AttentionRequest;
using Change = std::function<void(Request&)>;

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
  heads("NaN scale of a bilinear score", "score.bilinear.scale", [](Request& r) {
    AddBilinear(r, 6);
    r.mutable_score()->mutable_bilinear()->set_scale(std::nan(""));
  });
  heads("no bilinear w", "score.bilinear.w", [](Request& r) { r.mutable_score()->mutable_bilinear(); });
  heads("bilinear w has other rows", "score.bilinear.w", [](Request& r) {
    *r.mutable_score()->mutable_bilinear()->mutable_w() = Floats({5, 6});
  });
  heads("bilinear w has other columns", "score.bilinear.w", [](Request& r) {
    *r.mutable_score()->mutable_bilinear()->mutable_w() = Floats({6, 5});
  });
  heads("bilinear w is a vector", "score.bilinear.w.shape",
        [](Request& r) { *r.mutable_score()->mutable_bilinear()->mutable_w() = Floats({6}); });
  heads("bilinear w of another dtype", "score.bilinear.w.dtype", [](Request& r) {
    *r.mutable_score()->mutable_bilinear()->mutable_w() = Doubles({6, 6});
  });
  heads("keys without columns", "heads.key", [](Request& r) {
    AddBilinear(r, 0);
    *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 0});
  });
  heads("no w_query", "score.additive.w_query", [](Request& r) {
    AddAdditive(r, 6);
    r.mutable_score()->mutable_additive()->clear_w_query();
  });
  heads("no w_key", "score.additive.w_key", [](Request& r) {
    AddAdditive(r, 6);
    r.mutable_score()->mutable_additive()->clear_w_key();
  });
  heads("no w_score", "score.additive.w_score", [](Request& r) {
    AddAdditive(r, 6);
    r.mutable_score()->mutable_additive()->clear_w_score();
  });
  heads("w_query of another d", "score.additive.w_query", [](Request& r) {
    AddAdditive(r, 6);
    *r.mutable_score()->mutable_additive()->mutable_w_query() = Floats({3, 7});
  });
  heads("w_key of another d_key", "score.additive.w_key", [](Request& r) { AddAdditive(r, 5); });
  heads("w_key of another h", "score.additive.w_key", [](Request& r) {
    AddAdditive(r, 6);
    *r.mutable_score()->mutable_additive()->mutable_w_key() = Floats({4, 6});
  });
  heads("w_score of another h", "score.additive.w_score", [](Request& r) {
    AddAdditive(r, 6);
    *r.mutable_score()->mutable_additive()->mutable_w_score() = Floats({4});
  });
  heads("w_score is a matrix", "score.additive.w_score.shape", [](Request& r) {
    AddAdditive(r, 6);
    *r.mutable_score()->mutable_additive()->mutable_w_score() = Floats({3, 1});
  });
  heads("h is 0", "score.additive.w_query", [](Request& r) {
    *r.mutable_score()->mutable_additive()->mutable_w_query() = Floats({0, 6});
    *r.mutable_score()->mutable_additive()->mutable_w_key() = Floats({0, 6});
    *r.mutable_score()->mutable_additive()->mutable_w_score() = Floats({0});
  });
  heads("w_score is NaN", "score.additive.w_score", [](Request& r) {
    AddAdditive(r, 6);
    *r.mutable_score()->mutable_additive()->mutable_w_score() =
        RawTensor<float>(v1::DATA_TYPE_FLOAT32, {3}, {0, std::nanf(""), 0});
  });
  heads("columns differ with a bilinear score of d", "score.bilinear.w", [](Request& r) {
    AddBilinear(r, 6);
    *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 5});
  });
  heads("odd d of a rotary position", "position.rotary", [](Request& r) {
    *r.mutable_heads()->mutable_query() = Floats({2, 4, 3, 5});
    *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 5});
    r.mutable_position()->mutable_rotary();
  });
  heads("odd d_key of a rotary position", "position.rotary", [](Request& r) {
    AddBilinear(r, 5);
    *r.mutable_heads()->mutable_key() = Floats({2, 2, 5, 5});
    r.mutable_position()->mutable_rotary();
  });
  heads("negative rotary base", "position.rotary.base",
        [](Request& r) { r.mutable_position()->mutable_rotary()->set_base(-1); });
  heads("infinite rotary base", "position.rotary.base",
        [](Request& r) { r.mutable_position()->mutable_rotary()->set_base(HUGE_VAL); });
  heads("unknown layout", "position.rotary.layout",
        [](Request& r) { r.mutable_position()->mutable_rotary()->set_layout(static_cast<v1::Rotary::Layout>(3)); });
  heads("NaN sinusoidal base", "position.sinusoidal.base",
        [](Request& r) { r.mutable_position()->mutable_sinusoidal()->set_base(std::nan("")); });
  heads("too few slopes", "mask.alibi_slopes", [](Request& r) { r.mutable_mask()->add_alibi_slopes(0.5f); });
  heads("infinite slope", "mask.alibi_slopes[2]", [](Request& r) {
    for (float slope : {0.5f, 0.25f, HUGE_VALF, 0.0f}) r.mutable_mask()->add_alibi_slopes(slope);
  });
  heads("negative softcap", "normalization.softmax.softcap",
        [](Request& r) { r.mutable_normalization()->mutable_softmax()->set_softcap(-1); });
  heads("NaN softcap", "normalization.softmax.softcap",
        [](Request& r) { r.mutable_normalization()->mutable_softmax()->set_softcap(std::nan("")); });
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

TEST(AttentionRefusals, RefusesWithTheFieldsName) {
  for (const Bad& bad : BadRequests()) {
    const auto operation = DecodeWith(DecodeAttention, bad.request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << bad.what << ": " << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), bad.field) << bad.what << ": " << operation.status();
  }
}

TEST(AttentionRefusals, RandomBytesNeverCrash) {
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
