#include <gtest/gtest.h>

#include <cmath>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/tokens.h"
#include "server/compute/gemm.h"

namespace attend::compute {
namespace {

AttentionProblem<float> ProblemOf(int64_t batch, int64_t heads, int64_t n, int64_t m, int64_t d, int64_t d_value) {
  AttentionProblem<float> p;
  p.batch = batch;
  p.heads = heads;
  p.kv_heads = heads;
  p.n = n;
  p.m = m;
  p.d = d;
  p.d_key = d;
  p.d_value = d_value;
  return p;
}

double CountPairs(const AttentionProblem<float>& p) {
  double pairs = 0;
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t length = p.mask.key_lengths.empty() ? p.m : p.mask.key_lengths[static_cast<size_t>(b)];
    for (int64_t i = 0; i < p.n; ++i) {
      for (int64_t j = 0; j < length; ++j) {
        const int64_t place = p.mask.alignment == Alignment::kTopLeft ? i : i + p.m - p.n;
        if (p.mask.causal && j > place) continue;
        if (p.mask.window_left && j < place - *p.mask.window_left) continue;
        if (p.mask.window_right && j > place + *p.mask.window_right) continue;
        ++pairs;
      }
    }
  }
  return pairs * static_cast<double>(p.heads);
}

TEST(AttentionFlops, CountsBothProductsOverVisiblePairs) {
  for (const int64_t n : {0, 1, 3, 17}) {
    for (const int64_t m : {0, 1, 5, 17, 40}) {
      for (const bool causal : {false, true}) {
        for (const Alignment alignment : {Alignment::kBottomRight, Alignment::kTopLeft}) {
          AttentionProblem<float> p = ProblemOf(2, 3, n, m, 4, 5);
          p.mask.causal = causal;
          p.mask.alignment = alignment;
          EXPECT_EQ(AttentionFlops(p), CountPairs(p) * 2 * 9) << n << " x " << m;
          p.mask.key_lengths = {m / 2, m};
          EXPECT_EQ(AttentionFlops(p), CountPairs(p) * 2 * 9) << n << " x " << m << " with lengths";
        }
      }
    }
  }
}

TEST(AttentionFlops, CountsTheVisiblePairsOfWindows) {
  for (const int64_t m : {0, 1, 9, 17, 40}) {
    for (int which = 0; which < 16; ++which) {
      AttentionProblem<float> p = ProblemOf(2, 3, 17, m, 4, 5);
      p.mask.causal = which & 1;
      p.mask.alignment = which & 2 ? Alignment::kTopLeft : Alignment::kBottomRight;
      if (which & 4) p.mask.window_left = 3;
      if (which & 8) p.mask.window_right = 5;
      EXPECT_EQ(AttentionFlops(p), CountPairs(p) * 2 * 9) << m << ", " << which;
      p.mask.key_lengths = {m / 2, m};
      EXPECT_EQ(AttentionFlops(p), CountPairs(p) * 2 * 9) << m << " with lengths, " << which;
    }
  }
}

TEST(AttentionFlops, CountsTheProductsOfParameters) {
  AttentionProblem<float> p = ProblemOf(2, 4, 5, 9, 8, 10);
  p.kv_heads = 2;
  const double plain = AttentionFlops(p);
  const float w = 0;
  p.d_key = 6;
  p.score = BilinearScore<float>{&w};
  EXPECT_EQ(AttentionFlops(p), plain + 2.0 * (2 * 4 * 5 * 8 * 6) - 2.0 * (2 * 4 * 5 * 9) * 2);
  p.score = AdditiveScore<float>{3, &w, &w, &w};
  EXPECT_GT(AttentionFlops(p), 2.0 * 3 * (2 * 4 * 5 * 8 + 2 * 2 * 9 * 6));
}

TEST(AttentionWorkspaceBytes, DoesNotGrowWithTheSequence) {
  const AttentionResult<float> wanted;
  const double long_one = AttentionWorkspaceBytes(ProblemOf(1, 1, 65536, 65536, 64, 64), wanted, 2);
  EXPECT_EQ(long_one, AttentionWorkspaceBytes(ProblemOf(8, 8, 4096, 4096, 64, 64), wanted, 2));
  EXPECT_LT(long_one, 1 << 20);
}

TEST(AttentionWorkspaceBytes, CoversWhatACallTakes) {
  AttentionProblem<float> p = ProblemOf(1, 1, 300, 300, 4, 3);
  const std::vector<float> inputs(300 * 4, 0.5f);
  std::vector<float> output(300 * 3);
  p.query = p.key = ContiguousHeads<const float>(inputs.data(), 1, 300, 4);
  p.value = ContiguousHeads<const float>(inputs.data(), 1, 300, 3);
  AttentionResult<float> result;
  result.output = ContiguousHeads<float>(output.data(), 1, 300, 3);
  const std::vector<float> w(4 * 4);
  for (const Score<float>& score : {Score<float>{DotProductScore{}}, Score<float>{BilinearScore<float>{w.data()}},
                                    Score<float>{AdditiveScore<float>{4, w.data(), w.data(), w.data()}}}) {
    for (const Position& position :
         {Position{NoPosition{}}, Position{SinusoidalPosition{}}, Position{RotaryPosition{}}}) {
      p.score = score;
      p.position = position;
      runtime::BufferPool pool;
      const runtime::Cancellation cancellation;
      runtime::InlineExecutor executor(cancellation);
      ASSERT_TRUE(Attention(executor, pool, p, result).ok());
      EXPECT_LE(static_cast<double>(pool.idle_bytes()), 1.125 * AttentionWorkspaceBytes(p, result, 1) + 4096);
    }
  }
  p.score = DotProductScore{};
  p.position = NoPosition{};
  for (const Normalization& normalization :
       {Normalization{SoftmaxNormalization{}}, Normalization{GeneratorExpNormalization{Rate::kSoftplus, 0.01}},
        Normalization{GeneratorExpNormalization{Rate::kSoftplus, 100}}}) {
    p.normalization = normalization;
    runtime::BufferPool pool;
    const runtime::Cancellation cancellation;
    runtime::InlineExecutor executor(cancellation);
    ASSERT_TRUE(Attention(executor, pool, p, result).ok());
    // What the pool keeps now, the call held at once. It rounds blocks up by an eighth.
    EXPECT_LE(static_cast<double>(pool.idle_bytes()), 1.125 * AttentionWorkspaceBytes(p, result, 1) + 4096);
  }
}

// A scale of 1.5 takes one score of one range past what panels hold, not past what tiles do.
TEST(AttentionWorkspaceBytes, CoversRangesThatAreLeftToTheTiles) {
  AttentionProblem<float> p = ProblemOf(1, 1, 16, 1300, 1, 3);
  p.scale = 1.5;
  std::vector<float> query(16, 1.0f);
  std::vector<float> key(1300, 0.5f);
  query[3] = 1e19f;
  key[600] = 2e19f;
  const std::vector<float> value(1300 * 3, 0.5f);
  std::vector<float> output(16 * 3);
  p.query = ContiguousHeads<const float>(query.data(), 1, 16, 1);
  p.key = ContiguousHeads<const float>(key.data(), 1, 1300, 1);
  p.value = ContiguousHeads<const float>(value.data(), 1, 1300, 3);
  AttentionResult<float> result;
  result.output = ContiguousHeads<float>(output.data(), 1, 16, 3);
  runtime::BufferPool pool;
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  ASSERT_TRUE(Attention(executor, pool, p, result).ok());
  EXPECT_LE(static_cast<double>(pool.idle_bytes()), 1.125 * AttentionWorkspaceBytes(p, result, 1) + 4096);
}

TEST(AttentionWorkspaceBytes, DoesNotOverflow) {
  AttentionProblem<float> p = ProblemOf(1, 1, int64_t{1} << 40, int64_t{1} << 40, 1, 1);
  p.normalization = GeneratorExpNormalization{};
  const AttentionResult<float> wanted;
  EXPECT_GT(AttentionWorkspaceBytes(p, wanted, 1), 1e24);
}

TEST(TokensCost, IncludesTheProjections) {
  TokensProblem<float> p;
  p.d_model = 7;
  p.d_context = 6;
  p.d_out = 3;
  const float w = 0;
  p.w_o = &w;
  p.attention = ProblemOf(2, 4, 5, 9, 8, 10);
  p.attention.kv_heads = 2;
  const double projections = 2.0 * 2 * (5 * 7 * 32 + 9 * 6 * 16 + 9 * 6 * 20 + 5 * 40 * 3);
  EXPECT_EQ(TokensFlops(p), AttentionFlops(p.attention) + projections);
  const TokensResult<float> wanted;
  const AttentionResult<float> heads;
  const double elements = 2 * (5 * 32 + 9 * 16 + 9 * 20 + 5 * 40);
  EXPECT_GE(TokensWorkspaceBytes(p, wanted, 3), AttentionWorkspaceBytes(p.attention, heads, 3) + 4 * elements);
}

}  // namespace
}  // namespace attend::compute
