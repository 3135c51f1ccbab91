// Which operations may run on the thread that read them: those that few bytes cannot make long.
#include <gtest/gtest.h>

#include "server/rpc/attention_codec.h"
#include "server/rpc/matrix_exp_codec.h"
#include "server/rpc/project_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

bool IsBrief(const Decoder& decoder, const google::protobuf::Message& request) {
  const auto operation = DecodeWith(decoder, request);
  EXPECT_TRUE(operation.ok()) << operation.status();
  return operation.ok() && (*operation)->Brief();
}

v1::AttentionRequest Heads(int64_t heads, int64_t n, int64_t m, int64_t d) {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = Floats({1, heads, n, d});
  *request.mutable_heads()->mutable_key() = Floats({1, heads, m, d});
  *request.mutable_heads()->mutable_value() = Floats({1, heads, m, d});
  return request;
}

v1::ProjectRequest Linear(std::vector<int64_t> x, std::vector<int64_t> w) {
  v1::ProjectRequest request;
  *request.mutable_linear()->mutable_x() = Floats(std::move(x));
  *request.mutable_linear()->add_w() = Floats(std::move(w));
  return request;
}

v1::MatrixExpRequest Exp(std::vector<int64_t> a) {
  v1::MatrixExpRequest request;
  *request.mutable_a() = Doubles(std::move(a));
  return request;
}

TEST(Brief, SmallCalls) {
  EXPECT_TRUE(IsBrief(DecodeAttention, Heads(8, 16, 16, 64)));
  EXPECT_TRUE(IsBrief(DecodeAttention, Heads(8, 64, 64, 64)));
  EXPECT_TRUE(IsBrief(DecodeProject, Linear({24, 8}, {8, 8})));
  EXPECT_TRUE(IsBrief(DecodeMatrixExp, Exp({4, 4})));
}

TEST(Brief, NotMuchArithmetic) {
  EXPECT_FALSE(IsBrief(DecodeAttention, Heads(8, 128, 128, 64)));
  EXPECT_FALSE(IsBrief(DecodeProject, Linear({512, 128}, {128, 128})));
  EXPECT_FALSE(IsBrief(DecodeMatrixExp, Exp({64, 64})));
}

TEST(Brief, NotManyHeadsOrMatrices) {
  EXPECT_FALSE(IsBrief(DecodeAttention, Heads(1000, 1, 1, 1)));
  EXPECT_FALSE(IsBrief(DecodeMatrixExp, Exp({1000, 1, 1})));
}

TEST(Brief, NotEmptyTensorsOfManyRows) {
  EXPECT_FALSE(IsBrief(DecodeAttention, Heads(1, 1 << 10, 0, 64)));
  EXPECT_FALSE(IsBrief(DecodeProject, Linear({1 << 20, 0}, {0, 1 << 20})));
}

TEST(Brief, NotManyRotations) {
  v1::AttentionRequest request = Heads(1, 1, 1, 1 << 16);
  EXPECT_TRUE(IsBrief(DecodeAttention, request));
  request.mutable_position()->mutable_rotary();
  EXPECT_FALSE(IsBrief(DecodeAttention, request));
}

TEST(Brief, NotGeneratorsGradientsOrDiagnostics) {
  v1::AttentionRequest generator = Heads(1, 4, 4, 4);
  generator.mutable_normalization()->mutable_generator_exp();
  EXPECT_FALSE(IsBrief(DecodeAttention, generator));
  v1::MatrixExpRequest gradients = Exp({4, 4});
  *gradients.mutable_grad_output() = Doubles({4, 4});
  EXPECT_FALSE(IsBrief(DecodeMatrixExp, gradients));
}

}  // namespace
}  // namespace attend::rpc
