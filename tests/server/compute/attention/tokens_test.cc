#include "server/compute/attention/tokens.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/compute/attention/tokens_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class TokensTest : public testing::Test {};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(TokensTest, FloatTypes);

TYPED_TEST(TokensTest, SelfAttentionAgreesWithTheOracle) {
  for (const int64_t n : {1, 2, 3, 5, 17, 64, 65, 129}) {
    TokensCase c = RandomTokens({2, 3, 3, n, n, 5, 4}, 7, 7, 6, static_cast<uint64_t>(n));
    c.context.clear();
    ExpectTokensAgreement<TypeParam>(c);
    c.attention.causal = true;
    ExpectTokensAgreement<TypeParam>(c);
  }
}

TYPED_TEST(TokensTest, CrossAttentionWithGroupedHeads) {
  ExpectTokensAgreement<TypeParam>(RandomTokens({2, 4, 2, 17, 65, 8, 3}, 9, 5, 11, 1));
  ExpectTokensAgreement<TypeParam>(RandomTokens({1, 6, 1, 5, 3, 2, 3}, 1, 2, 1, 2));
  ExpectTokensAgreement<TypeParam>(RandomTokens({1, 2, 2, 130, 520, 16, 16}, 33, 17, 32, 3));
}

TYPED_TEST(TokensTest, EveryWeightAndBiasThatMayBeAbsent) {
  for (int absent = 0; absent < 32; ++absent) {
    TokensCase c = RandomTokens({2, 2, 1, 5, 7, 3, 2}, 4, 6, 4, 4);
    if (absent & 1) c.b_q.clear();
    if (absent & 2) c.b_k.clear();
    if (absent & 4) c.b_v.clear();
    if (absent & 8) c.b_o.clear();
    if (absent & 16) c.w_o.clear();  // d_out = heads * d_value = 4
    ExpectTokensAgreement<TypeParam>(c);
  }
}

TYPED_TEST(TokensTest, EmptySizes) {
  ExpectTokensAgreement<TypeParam>(RandomTokens({0, 2, 1, 3, 4, 2, 2}, 3, 3, 4, 5));
  ExpectTokensAgreement<TypeParam>(RandomTokens({2, 2, 1, 0, 4, 2, 2}, 3, 3, 4, 6));
  ExpectTokensAgreement<TypeParam>(RandomTokens({2, 2, 1, 3, 0, 2, 2}, 3, 3, 4, 7));
  ExpectTokensAgreement<TypeParam>(RandomTokens({2, 2, 1, 3, 4, 2, 2}, 0, 0, 4, 8));
}

TYPED_TEST(TokensTest, EveryPositionAndScore) {
  for (const Position& position : {Position{NoPosition{}}, Position{SinusoidalPosition{100}},
                                   Position{RotaryPosition{100, false}}, Position{RotaryPosition{100, true}}}) {
    for (const bool self : {false, true}) {
      const Sizes sizes{2, 4, 2, 7, self ? 7 : 9, 6, 2};
      TokensCase dot = RandomTokens(sizes, 5, self ? 5 : 8, 4, 21);
      if (self) dot.context.clear();
      dot.attention.position = position;
      dot.attention.name += " position " + std::to_string(position.index()) + (self ? " self" : " cross");
      ExpectTokensAgreement<TypeParam>(dot);
      for (const bool additive : {false, true}) {
        TokensCase c = dot;
        c.attention = additive ? WithAdditiveScore(dot.attention, 3, 4, 22) : WithBilinearScore(dot.attention, 4, 23);
        c.w_k.resize(c.w_k.size() / 6 * 4);  // [d_context, kv_heads * d_key]
        c.b_k.resize(2 * 4);
        ExpectTokensAgreement<TypeParam>(c);
        c.attention.causal = true;
        c.attention.window_left = 3;
        c.attention.alibi_slopes = {0.5, 0.25, 0.125, 1};
        c.attention.normalization = SoftmaxNormalization{2};
        ExpectTokensAgreement<TypeParam>(c);
        if (!self) continue;
        c.attention.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.1};
        ExpectTokensAgreement<TypeParam>(c);
      }
    }
  }
}

TYPED_TEST(TokensTest, LieAction) {
  TokensCase c = RandomTokens({1, 2, 2, 17, 17, 3, 2}, 4, 4, 4, 9);
  c.attention.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.1};
  ExpectTokensAgreement<TypeParam>(c);
}

TYPED_TEST(TokensTest, SameBitsWithAnyNumberOfWorkers) {
  const TokensCase c = RandomTokens({2, 3, 1, 150, 150, 8, 8}, 40, 40, 24, 10);
  Answer first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    Answer got;
    ASSERT_TRUE(RunTokens<TypeParam>(c, threads, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got.output, first.output) << workers << " workers";
    EXPECT_EQ(got.weights, first.weights) << workers << " workers";
  }
}

TEST(Tokens, ProjectionsPastTheLargestNumberAreOutOfRange) {
  ThreadExecutor executor(1);
  for (const int which : {0, 1, 2, 3}) {
    TokensCase c = RandomTokens({1, 1, 1, 3, 3, 2, 2}, 2, 2, 2, 11);
    std::vector<double>& w = which == 0 ? c.w_q : which == 1 ? c.w_k : which == 2 ? c.w_v : c.w_o;
    for (double& v : w) v = 3e38;
    for (double& v : c.x) v = which == 3 ? v : 10;
    for (double& v : c.context) v = 10;
    for (double& v : c.b_v) v = which == 3 ? 100 : 0;
    Answer got;
    EXPECT_EQ(RunTokens<float>(c, executor, got).code(), absl::StatusCode::kOutOfRange) << which;
  }
}

}  // namespace
}  // namespace attend::compute
