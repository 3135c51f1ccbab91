#include <gtest/gtest.h>

#include <vector>

#include "server/compute/attention/backward.h"
#include "server/compute/attention/tokens_backward.h"

namespace attend::compute {
namespace {

constexpr int64_t kRows = 300;

AttentionProblem<float> ProblemOf(int64_t n, int64_t d, int64_t d_value) {
  AttentionProblem<float> p;
  p.batch = p.heads = p.kv_heads = 1;
  p.n = p.m = n;
  p.d = p.d_key = d;
  p.d_value = d_value;
  return p;
}

// What a call held at most at once, which the pool keeps.
double HeldBytes(const AttentionProblem<float>& p) {
  std::vector<float> output(kRows * 3), query(kRows * 4), key(kRows * 4), value(kRows * 3), parameters(4 * kRows);
  AttentionResult<float> result;
  result.output = ContiguousHeads<float>(output.data(), 1, kRows, 3);
  const AttentionGradients<float> to{ContiguousHeads(query.data(), 1, kRows, 4),
                                     ContiguousHeads(key.data(), 1, kRows, 4),
                                     ContiguousHeads(value.data(), 1, kRows, 3),
                                     {p.mask.bias ? parameters.data() : nullptr}};
  runtime::BufferPool pool;
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const absl::Status done =
      AttentionWithGradients(executor, pool, p, result, ContiguousHeads<const float>(output.data(), 1, kRows, 3), to);
  EXPECT_TRUE(done.ok()) << done;
  return static_cast<double>(pool.idle_bytes());
}

TEST(AttentionGradientsWorkspaceBytes, CoversWhatACallTakes) {
  const std::vector<float> inputs(kRows * 4, 0.5f);
  const std::vector<float> w(4 * 4, 0.25f);
  AttentionProblem<float> plain = ProblemOf(kRows, 4, 3);
  plain.query = plain.key = ContiguousHeads<const float>(inputs.data(), 1, kRows, 4);
  plain.value = ContiguousHeads<const float>(inputs.data(), 1, kRows, 3);
  plain.mask.bias.data = inputs.data();  // one element for all pairs
  for (const Score<float>& score : {Score<float>{DotProductScore{}}, Score<float>{BilinearScore<float>{w.data()}},
                                    Score<float>{AdditiveScore<float>{4, w.data(), w.data(), w.data()}}}) {
    for (const Position& position :
         {Position{NoPosition{}}, Position{SinusoidalPosition{}}, Position{RotaryPosition{}}}) {
      for (const Normalization& normalization :
           {Normalization{SoftmaxNormalization{}}, Normalization{SoftmaxNormalization{2}},
            Normalization{GeneratorExpNormalization{Rate::kSoftplus, 0.01}}}) {
        AttentionProblem<float> p = plain;
        p.score = score;
        p.position = position;
        p.normalization = normalization;
        // The pool rounds blocks up by an eighth.
        EXPECT_LE(HeldBytes(p), 1.125 * AttentionGradientsWorkspaceBytes(p, {}, 1) + 8192)
            << score.index() << " " << position.index() << " " << normalization.index();
      }
    }
  }
}

// By one number for each row: what rounding took from its lse.
TEST(AttentionBackwardWorkspaceBytes, GrowsAsLittleAsTheLseWithTheSequence) {
  const AttentionProblem<float> long_one = ProblemOf(65536, 64, 64);
  const double rows = static_cast<double>(long_one.batch * long_one.heads) * (65536 - 1024);
  const double bytes = AttentionBackwardWorkspaceBytes(long_one, 2);
  EXPECT_EQ(bytes, AttentionBackwardWorkspaceBytes(ProblemOf(1024, 64, 64), 2) + rows * sizeof(float));
  EXPECT_LT(bytes - rows * sizeof(float), 1 << 20);
}

TEST(AttentionBackwardFlops, CountsFiveProductsOverVisiblePairs) {
  AttentionProblem<float> p = ProblemOf(17, 4, 5);
  p.mask.causal = true;
  EXPECT_EQ(AttentionBackwardFlops(p), 17 * 18 / 2 * 2.0 * (3 * 4 + 2 * 5));
}

TEST(TokensBackwardFlops, CountsEachProjectionTwice) {
  TokensProblem<float> p;
  p.d_model = p.d_context = 7;
  p.d_out = 3;
  const float w = 0;
  p.w_o = &w;
  p.attention = ProblemOf(5, 8, 10);
  const double projections = 2.0 * 5 * (7 * 8 + 7 * 8 + 7 * 10 + 10 * 3);
  EXPECT_EQ(TokensBackwardFlops(p), AttentionBackwardFlops(p.attention) + 2 * projections);
}

}  // namespace
}  // namespace attend::compute
