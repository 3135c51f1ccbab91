// Panels over ranges of keys, whose results merge by their lse.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "server/compute/attention/decode.h"
#include "server/compute/attention/few_queries.h"
#include "server/compute/attention/panel_block.h"
#include "server/runtime/buffer_pool.h"
#include "tests/server/compute/attention/panel_case.h"

namespace attend::compute {
namespace {

class PanelRangesTest : public PanelTest {};
INSTANTIATE_TEST_SUITE_P(Target, PanelRangesTest, testing::ValuesIn(PanelTargets()), hwy::TestParamTargetName);

// What PanelBlock makes of the keys [first, end) of a case with one head and at most one block.
Answer AnswerOfKeys(const AttentionCase& c, int64_t first, int64_t end) {
  const PanelCase panels(c, Layout::kTokens);
  runtime::BufferPool pool;
  const PanelScratch scratch(pool, panels.problem(), 1);
  const QueryBlock block{0, 0, 0, c.n, first, end};
  const HeadResult<float> result = ResultOfHead(panels.problem(), panels.Results(Wanted::kRows), 0, 0);
  EXPECT_TRUE(PanelBlock(panels.problem(), block, result, scratch, 0)) << c.name;
  return panels.Got();
}

// Output, lse and entropy of the union of two disjoint sets of keys.
Answer Merged(const Answer& a, const Answer& b, int64_t d_value) {
  Answer merged = a;
  for (size_t row = 0; row < a.lse.size(); ++row) {
    const double largest = std::max(a.lse[row], b.lse[row]);
    if (largest == kMinusInfinity) continue;
    const double lse = largest + std::log(std::exp(a.lse[row] - largest) + std::exp(b.lse[row] - largest));
    const double of_a = std::exp(a.lse[row] - lse);
    const double of_b = std::exp(b.lse[row] - lse);
    merged.lse[row] = lse;
    merged.entropy[row] = (of_a > 0 ? of_a * (a.entropy[row] + lse - a.lse[row]) : 0) +
                          (of_b > 0 ? of_b * (b.entropy[row] + lse - b.lse[row]) : 0);
    for (size_t j = row * d_value; j < (row + 1) * d_value; ++j)
      merged.output[j] = of_a * a.output[j] + of_b * b.output[j];
  }
  return merged;
}

// A merge adds the errors of the parts' lse to those of their outputs: twice the tolerance of a run in one.
TEST_P(PanelRangesTest, RangesOfKeysMergeByTheirLse) {
  for (const int64_t border : {0, 1, 17, 384, 600, 999, 1000}) {
    for (int which = 0; which < 4; ++which) {
      AttentionCase c = Named(RandomCase({1, 1, 1, 70, 1000, 8, 5}, 19), "split at " + std::to_string(border));
      if (which & 1) c.causal = true;
      if (which & 2) {
        c.window_left = 30;
        c.key_lengths = {960};
        c.alignment = Alignment::kBottomRight;
      }
      const Answer want = Oracle(c);
      const Answer got = Merged(AnswerOfKeys(c, 0, border), AnswerOfKeys(c, border, 1000), c.d_value);
      const Tolerance tolerance = PanelTolerance(c);
      EXPECT_TRUE(AllNear(got.output, want.output, 2 * tolerance.output)) << c.name << " output";
      EXPECT_TRUE(AllNear(got.lse, want.lse, 2 * tolerance.lse)) << c.name << " lse";
      EXPECT_TRUE(AllNear(got.entropy, want.entropy, 2 * tolerance.entropy)) << c.name << " entropy";
    }
  }
}

// Few queries over many keys: attention itself splits the keys and merges the ranges.
void ExpectDecodingAgrees(const AttentionCase& c) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const PanelCase panels(c, Layout::kHeads);
  ASSERT_TRUE(SuitsPanels(panels.problem(), panels.Results(Wanted::kRows))) << c.name;
  ASSERT_TRUE(IsDecoding(panels.problem(), panels.Results(Wanted::kRows))) << c.name;
  const Answer want = Oracle(c);
  const Tolerance tolerance = PanelTolerance(c);
  Answer got;
  const absl::Status done = RunCase<float>(c, executor, Wanted::kRows, got);
  ASSERT_TRUE(done.ok()) << c.name << ": " << done;
  EXPECT_TRUE(AllNear(got.output, want.output, 2 * tolerance.output)) << c.name << " output";
  EXPECT_TRUE(AllNear(got.lse, want.lse, 2 * tolerance.lse)) << c.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, 2 * tolerance.entropy)) << c.name << " entropy";
}

TEST_P(PanelRangesTest, SeveralQueriesDecode) {
  for (int64_t n = kFewQueries + 1; n <= kDecodeQueries; ++n) {
    for (const int64_t m : {513, 1100, 3000}) {
      ExpectDecodingAgrees(RandomCase({1, 2, 1, n, m, 1 + m % 20, 1 + n}, static_cast<uint64_t>(n * m)));
    }
  }
}

TEST_P(PanelRangesTest, SeveralQueriesDecodeUnderEveryMask) {
  for (int which = 0; which < 64; ++which) {
    AttentionCase c = Named(RandomCase({2, 2, 1, 7, 1300, 3, 2}, 71), "masks " + std::to_string(which));
    c.causal = which & 1;
    if (which & 2) c.window_left = 600;
    if (which & 4) c.key_lengths = {1299, 520};
    if (which & 8) c.alibi_slopes = {0.01, 0.5};
    if (which & 16) {
      c.bias.shape = {1, 1, 1, 1300};
      c.bias.data = RandomNormal(1300, 72);
      std::fill(c.bias.data.begin() + 300, c.bias.data.begin() + 1100, kMinusInfinity);  // a whole range
    }
    if (which & 32) c.normalization = SoftmaxNormalization{1.5};
    ExpectDecodingAgrees(c);
  }
}

// The power of two that takes a scale of 1.5 below 1 takes one score of one range past the largest number: 2 * 2e38. A
// key so long has all of a query's weight or none, so that the outputs are as exact as ordinary ones.
TEST_P(PanelRangesTest, ARangeThatPanelsCannotHoldIsLeftToTheTiles) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  AttentionCase c = RandomCase({1, 1, 1, 7, 1300, 1, 3}, 73);
  c.scale = 1.5;
  const Tolerance tolerance = PanelTolerance(c);
  c.query[3] = 1e19;
  c.key[600] = 2e19;
  Answer got;
  const absl::Status done = RunCase<float>(c, executor, Wanted::kRows, got);
  ASSERT_TRUE(done.ok()) << done;
  EXPECT_TRUE(AllNear(got.output, Oracle(c).output, 2 * tolerance.output));
  c.scale = 3;
  EXPECT_EQ(RunCase<float>(c, executor, Wanted::kRows, got).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace attend::compute
