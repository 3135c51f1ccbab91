#include "server/rpc/attention_gradients.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "server/rpc/attention_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::AttentionRequest;
using Shapes = std::map<std::string, std::vector<int64_t>>;

absl::StatusOr<v1::AttentionResponse> Ask(const Request& request) {
  return Answer<v1::AttentionResponse>(DecodeAttention, request);
}

// [batch 2, heads 4 over 2, n 3, m 5, d 6, d_value 7]
Request HeadsRequest() {
  Request request;
  *request.mutable_heads()->mutable_query() = Floats({2, 4, 3, 6}, 1);
  *request.mutable_heads()->mutable_key() = Floats({2, 2, 5, 6}, 2);
  *request.mutable_heads()->mutable_value() = Floats({2, 2, 5, 7}, 3);
  *request.mutable_grad_output() = Floats({2, 4, 3, 7}, 4);
  return request;
}

Shapes ShapesOf(const v1::AttentionResponse& answer) {
  Shapes shapes;
  for (const auto& [name, tensor] : answer.gradients()) shapes[name] = ShapeOf(tensor);
  return shapes;
}

TEST(AttentionGradients, OneForEachFloatingInputOfHeads) {
  Request request = HeadsRequest();
  *request.mutable_mask()->mutable_bias() = Floats({4, 1, 5}, 5);
  auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  Shapes want = {{"query", {2, 4, 3, 6}}, {"key", {2, 2, 5, 6}}, {"value", {2, 2, 5, 7}}, {"bias", {4, 1, 5}}};
  EXPECT_EQ(ShapesOf(*answer), want);

  v1::Additive& additive = *request.mutable_score()->mutable_additive();
  *additive.mutable_w_query() = Floats({3, 6}, 11);
  *additive.mutable_w_key() = Floats({3, 6}, 12);
  *additive.mutable_w_score() = Floats({3}, 13);
  answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  want["w_query"] = {3, 6};
  want["w_key"] = {3, 6};
  want["w_score"] = {3};
  EXPECT_EQ(ShapesOf(*answer), want);

  request = HeadsRequest();
  *request.mutable_score()->mutable_bilinear()->mutable_w() = Floats({6, 6}, 14);
  answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->gradients().at("w_bilinear")), (std::vector<int64_t>{6, 6}));
}

TEST(AttentionGradients, OneForEachTensorOfTokensThatIsThere) {
  Request request;
  v1::Tokens& tokens = *request.mutable_tokens();
  *tokens.mutable_x() = Floats({2, 3, 8}, 1);
  *tokens.mutable_w_q() = Floats({8, 24}, 3);
  *tokens.mutable_w_k() = Floats({8, 12}, 4);
  *tokens.mutable_w_v() = Floats({8, 6}, 5);
  *tokens.mutable_b_v() = Floats({6}, 7);
  tokens.set_num_heads(4);
  tokens.set_num_kv_heads(2);
  *request.mutable_grad_output() = Floats({2, 3, 12}, 4);
  auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  Shapes want = {{"x", {2, 3, 8}}, {"w_q", {8, 24}}, {"w_k", {8, 12}}, {"w_v", {8, 6}}, {"b_v", {6}}};
  EXPECT_EQ(ShapesOf(*answer), want);

  *tokens.mutable_context() = Floats({2, 5, 8}, 2);
  *tokens.mutable_w_o() = Floats({12, 9}, 6);
  *request.mutable_grad_output() = Floats({2, 3, 9}, 4);
  answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  want["context"] = {2, 5, 8};
  want["w_o"] = {12, 9};
  EXPECT_EQ(ShapesOf(*answer), want);
}

// Other kernels compute it (docs/adr/0007): means of values of order one, some ten roundings each way.
TEST(AttentionGradients, TheOutputIsTheSameWithAndWithoutThem) {
  Request request = HeadsRequest();
  const auto with = Ask(request);
  request.clear_grad_output();
  const auto without = Ask(request);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_LE(Difference(with->output(), without->output()), 20 * std::numeric_limits<float>::epsilon());
  EXPECT_TRUE(without->gradients().empty());
}

// bfloat16 keeps 8 bits.
TEST(AttentionGradients, HaveTheInputsDType) {
  Request request = HeadsRequest();
  request.set_output_dtype(v1::DATA_TYPE_FLOAT64);
  auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->output().dtype(), v1::DATA_TYPE_FLOAT64);
  EXPECT_EQ(answer->gradients().at("key").dtype(), v1::DATA_TYPE_FLOAT32);
  const std::string key = answer->gradients().at("key").raw();

  // The gradient of a FLOAT64 output may be FLOAT64, too.
  *request.mutable_grad_output() = Doubles({2, 4, 3, 7}, 4);
  answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->gradients().at("key").raw(), key);

  const auto zeros = [](std::vector<int64_t> shape) {
    return RawTensor(v1::DATA_TYPE_BFLOAT16, shape, std::vector<uint16_t>(static_cast<size_t>(Count(shape)), 0));
  };
  Request small;
  *small.mutable_heads()->mutable_query() = zeros({2, 2});
  *small.mutable_heads()->mutable_key() = zeros({4, 2});
  *small.mutable_heads()->mutable_value() = zeros({4, 1});
  *small.mutable_grad_output() = RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {2, 1}, {0x3f80, 0x3f80});  // 1, 1
  answer = Ask(small);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->gradients().at("value").dtype(), v1::DATA_TYPE_BFLOAT16);
  EXPECT_EQ(ValuesOf<uint16_t>(answer->gradients().at("value")), std::vector<uint16_t>(4, 0x3f00));  // 1/2
}

TEST(AttentionGradients, RefusesWithTheFieldsName) {
  const auto refused = [](const v1::Tensor& grad_output, const std::string& field) {
    Request request = HeadsRequest();
    *request.mutable_grad_output() = grad_output;
    const auto operation = DecodeWith(DecodeAttention, request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), field) << operation.status();
  };
  refused(Floats({2, 4, 3, 6}), "grad_output.shape");
  refused(Floats({4, 3, 7}), "grad_output.shape");
  refused(Doubles({2, 4, 3, 7}), "grad_output.dtype");
  v1::Tensor bad = Floats({2, 4, 3, 7});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  bad.mutable_raw()->replace(8, 4, reinterpret_cast<const char*>(&nan), 4);
  refused(bad, "grad_output");
}

TEST(AttentionGradients, ValuesThatFloat32CannotHoldAreRefused) {
  Request request = HeadsRequest();
  request.set_output_dtype(v1::DATA_TYPE_FLOAT64);
  v1::Tensor huge = Doubles({2, 4, 3, 7});
  const double value = 1e300;
  huge.mutable_raw()->replace(0, 8, reinterpret_cast<const char*>(&value), 8);
  *request.mutable_grad_output() = huge;
  const auto operation = DecodeWith(DecodeAttention, request);
  EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << operation.status();
  EXPECT_EQ(ViolatedField(operation.status()), "grad_output");
}

TEST(AttentionGradients, AreZeroWithoutQueries) {
  Request request;
  *request.mutable_heads()->mutable_query() = Floats({2, 4, 0, 6});
  *request.mutable_heads()->mutable_key() = Floats({2, 2, 5, 6});
  *request.mutable_heads()->mutable_value() = Floats({2, 2, 5, 7});
  *request.mutable_grad_output() = Floats({2, 4, 0, 7});
  const auto answer = Ask(request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ValuesOf<float>(answer->gradients().at("key")), std::vector<float>(120));
}

TEST(AttentionGradients, CountInTheEstimates) {
  Request request = HeadsRequest();
  const auto with = DecodeWith(DecodeAttention, request);
  request.clear_grad_output();
  const auto without = DecodeWith(DecodeAttention, request);
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ((*with)->ResponseBytes() - (*without)->ResponseBytes(), 4.0 * (144 + 120 + 140));
  EXPECT_GT((*with)->WorkspaceBytes(2), (*without)->WorkspaceBytes(2));
  // Five products where the output takes two: 3 of d = 6 columns and 2 of d_value = 7, on 2 * 4 * 3 * 5 pairs.
  EXPECT_EQ((*with)->Flops() - (*without)->Flops(), 120 * 2.0 * (3 * 6 + 2 * 7));
}

}  // namespace
}  // namespace attend::rpc
