#include "server/compute/attention/tokens_backward.h"

#include <gtest/gtest.h>

#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/attention/tokens_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

TEST(TokensBackward, SelfAttentionAgreesWithDifferences) {
  for (const int64_t n : {1, 2, 3, 5, 17, 65, 129}) {
    TokensCase c = RandomTokens({2, 3, 3, n, n, 5, 4}, 7, 7, 6, static_cast<uint64_t>(n));
    c.context.clear();
    ExpectGradientsAreDifferences(c);
    c.attention.causal = true;
    ExpectGradientsAreDifferences(c);
  }
}

TEST(TokensBackward, CrossAttentionWithGroupedHeads) {
  ExpectGradientsAreDifferences(RandomTokens({2, 4, 2, 17, 65, 8, 3}, 9, 5, 11, 1));
  ExpectGradientsAreDifferences(RandomTokens({1, 6, 1, 5, 3, 2, 3}, 1, 2, 1, 2));
}

TEST(TokensBackward, EveryWeightAndBiasThatMayBeAbsent) {
  for (int absent = 0; absent < 32; ++absent) {
    TokensCase c = RandomTokens({2, 2, 1, 5, 7, 3, 2}, 4, 6, 4, 4);
    if (absent & 1) c.b_q.clear();
    if (absent & 2) c.b_k.clear();
    if (absent & 4) c.b_v.clear();
    if (absent & 8) c.b_o.clear();
    if (absent & 16) c.w_o.clear();  // d_out = heads * d_value = 4
    ExpectGradientsAreDifferences(c);
  }
}

TEST(TokensBackward, PositionsAndScores) {
  for (const bool self : {true, false}) {
    TokensCase c = RandomTokens({2, 2, 1, 7, 7, 4, 3}, 5, 5, 4, 5);
    if (self) c.context.clear();
    c.attention.position = SinusoidalPosition{100};
    ExpectGradientsAreDifferences(c);
    c.attention.position = RotaryPosition{100, true};
    ExpectGradientsAreDifferences(c);
    c.attention.score = ScoreKind::kBilinear;
    c.attention.w_bilinear = RandomNormal(4 * 4, 6);
    ExpectGradientsAreDifferences(c);
    c.attention.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.3};
    ExpectGradientsAreDifferences(c);
  }
}

TEST(TokensBackward, SameBitsWithAnyNumberOfWorkers) {
  const TokensCase c = RandomTokens({2, 3, 1, 600, 300, 8, 8}, 40, 40, 24, 10);
  GradientsByName first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    GradientsByName got;
    ASSERT_TRUE(RunGradients<float>(c, RandomNormal(2 * 600 * 24, 11), threads, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got, first) << workers << " workers";
  }
}

TEST(TokensBackward, EmptySizes) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const Sizes& sizes : {Sizes{0, 2, 1, 3, 4, 2, 2}, Sizes{2, 2, 1, 0, 4, 2, 2}, Sizes{2, 2, 1, 3, 0, 2, 2}}) {
    const TokensCase c = RandomTokens(sizes, 3, 3, 4, 5);
    GradientsByName got;
    ASSERT_TRUE(RunGradients<float>(c, RandomNormal(sizes.batch * sizes.n * 4, 12), executor, got).ok());
    for (const char* name : {"w_q", "w_k", "w_v", "w_o", "b_q", "x"}) EXPECT_EQ(Largest(got[name]), 0) << name;
  }
}

}  // namespace
}  // namespace attend::compute
