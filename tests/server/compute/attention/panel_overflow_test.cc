// Panels and numbers near the end of float32's range: what they cannot hold is left to the tiles, which decide.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "server/compute/attention/forward.h"
#include "server/compute/attention/panel_attention.h"
#include "server/runtime/buffer_pool.h"
#include "tests/server/compute/attention/panel_case.h"

namespace attend::compute {
namespace {

constexpr double kLargest = std::numeric_limits<float>::max();

class PanelOverflowTest : public PanelTest {
 public:
  absl::Status RunPanels(const PanelCase& panels) {
    return PanelAttention(executor, pool, panels.problem(), panels.Results(Wanted::kRows));
  }

  absl::Status RunTiles(const PanelCase& tiles) {
    const AttentionProblem<float>& p = tiles.problem();
    const TileScratch<float> scratch(pool, p.n, p.m, 1);
    for (int64_t i = 0; i < p.batch * p.heads * QueryBlocks<float>(p.n); ++i) {
      const int64_t head = i / QueryBlocks<float>(p.n);
      const QueryBlock block = BlockOf<float>(head / p.heads, head % p.heads, i % QueryBlocks<float>(p.n), p.n);
      const HeadResult<float> result = ResultOfHead(p, tiles.Results(Wanted::kRows), block.batch, block.head);
      if (absl::Status done = SoftmaxBlock(p, block, result, scratch, 0); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  // The tiles' refusal word for word.
  void ExpectRefused(const AttentionCase& c) {
    const PanelCase panels(c, Layout::kTokens);
    EXPECT_FALSE(panels.RunBlocks(Wanted::kRows)) << c.name;
    const absl::Status done = RunPanels(panels);
    EXPECT_EQ(done.code(), absl::StatusCode::kOutOfRange) << c.name << ": " << done;
    EXPECT_EQ(done, RunTiles(PanelCase(c, Layout::kTokens))) << c.name;
  }

  // The tiles' results bit for bit, where panels fail.
  void ExpectLeftToTiles(const AttentionCase& c) {
    const PanelCase panels(c, Layout::kTokens);
    EXPECT_FALSE(panels.RunBlocks(Wanted::kRows)) << c.name;
    const absl::Status done = RunPanels(panels);
    ASSERT_TRUE(done.ok()) << c.name << ": " << done;
    const PanelCase tiles(c, Layout::kTokens);
    ASSERT_TRUE(RunTiles(tiles).ok()) << c.name;
    EXPECT_EQ(panels.Got().output, tiles.Got().output) << c.name;
    EXPECT_EQ(panels.Got().lse, tiles.Got().lse) << c.name;
    EXPECT_EQ(panels.Got().entropy, tiles.Got().entropy) << c.name;
    EXPECT_TRUE(panels.OnlyResultsWritten()) << c.name;
  }

  // Panels hold it, and the results are those of the tame case.
  void ExpectSameAs(const AttentionCase& tame, const AttentionCase& c) {
    const PanelCase want(tame, Layout::kGaps);
    const PanelCase got(c, Layout::kGaps);
    ASSERT_TRUE(want.RunBlocks(Wanted::kRows)) << c.name;
    ASSERT_TRUE(got.RunBlocks(Wanted::kRows)) << c.name;
    EXPECT_EQ(got.Got().output, want.Got().output) << c.name;
    EXPECT_EQ(got.Got().lse, want.Got().lse) << c.name;
    EXPECT_EQ(got.Got().entropy, want.Got().entropy) << c.name;
  }

  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
  runtime::BufferPool pool;
};
INSTANTIATE_TEST_SUITE_P(Target, PanelOverflowTest, testing::ValuesIn(PanelTargets()), hwy::TestParamTargetName);

void SetRow(std::vector<double>& matrix, int64_t row, int64_t cols, double value) {
  std::fill_n(matrix.begin() + row * cols, cols, value);
}

TEST_P(PanelOverflowTest, ScoresPastTheLargestNumberAreOutOfRange) {
  for (const double sign : {1.0, -1.0}) {
    for (const int64_t query : {0, 130, 199}) {
      for (const int64_t key : {0, 383, 384, 699}) {
        AttentionCase c = RandomCase({1, 1, 1, 200, 700, 2, 3}, 11);
        c.name += " query " + std::to_string(query) + " key " + std::to_string(key);
        SetRow(c.query, query, 2, 1e20);
        SetRow(c.key, key, 2, sign * 1e20);
        ExpectRefused(c);
      }
    }
  }
}

// Infinity less infinity on the way.
TEST_P(PanelOverflowTest, ScoresThatAreNoNumberAreOutOfRange) {
  AttentionCase c = RandomCase({1, 1, 1, 20, 70, 2, 3}, 12);
  SetRow(c.query, 3, 2, 1e20);
  c.key[10] = 1e20;
  c.key[11] = -1e20;
  ExpectRefused(c);
}

TEST_P(PanelOverflowTest, WhatTheMaskAddsMayNotOverflow) {
  AttentionCase c = RandomCase({1, 1, 1, 20, 70, 1, 3}, 13);
  c.scale = 1;
  c.query.assign(20, 1);
  c.key.assign(70, 3e38);
  AttentionCase biased = Named(c, "bias");
  biased.bias.shape = {1, 1, 1, 70};
  biased.bias.data.assign(70, 0);
  biased.bias.data[69] = 3e38;
  ExpectRefused(biased);
  AttentionCase far = Named(c, "alibi");
  far.alibi_slopes = {1e37};
  far.key.assign(70, 1);
  ExpectRefused(far);
  AttentionCase capped = Named(c, "softcap");
  capped.normalization = SoftmaxNormalization{5};
  SetRow(capped.query, 4, 1, 1e10);
  ExpectRefused(capped);
}

TEST_P(PanelOverflowTest, ScoresThatAreHiddenMayOverflow) {
  AttentionCase tame = RandomCase({1, 1, 1, 60, 60, 4, 3}, 14);
  tame.causal = true;
  tame.key_lengths = {57};
  tame.window_left = 40;
  SetRow(tame.query, 3, 4, 0);
  AttentionCase c = tame;
  SetRow(c.query, 3, 4, 1e30);  // sees no large key: those come later
  for (const int64_t key : {57, 58, 59}) SetRow(c.key, key, 4, -1e30);
  for (int64_t key = 0; key < 4; ++key) {
    SetRow(tame.key, key, 4, 0);
    SetRow(c.key, key, 4, 0);
  }
  for (const int64_t key : {4, 30, 44}) {
    AttentionCase hidden = c;
    AttentionCase shown = tame;
    for (AttentionCase* which : {&hidden, &shown}) {
      which->allowed.shape = {1, 1, 1, 60};
      which->allowed.data.assign(60, 1);
      which->allowed.data[static_cast<size_t>(key)] = 0;
    }
    SetRow(hidden.key, key, 4, 1e30);
    hidden.name += " key " + std::to_string(key);
    ExpectSameAs(shown, hidden);
    hidden.allowed = {};
    shown.allowed = {};
    SetRow(hidden.key, key, 4, shown.key[static_cast<size_t>(4 * key)]);
    SetRow(shown.key, key, 4, shown.key[static_cast<size_t>(4 * key)]);
    ExpectSameAs(shown, hidden);
  }
}

TEST_P(PanelOverflowTest, ValuesThatAreHiddenMayBeLargest) {
  AttentionCase tame = RandomCase({1, 1, 1, 33, 400, 4, 5}, 15);
  tame.key_lengths = {390};
  AttentionCase c = tame;
  for (int64_t key = 390; key < 400; ++key) SetRow(c.value, key, 5, kLargest);
  ExpectSameAs(tame, c);
}

TEST_P(PanelOverflowTest, SumsPastTheLargestNumberAreOutOfRange) {
  for (const int64_t d_value : {1, 3, 16, 33}) {
    AttentionCase c = RandomCase({1, 1, 1, 200, 65, 2, d_value}, 16);
    c.scale = 1e-10;
    c.value.assign(c.value.size(), kLargest / 64);
    ExpectRefused(c);
    c.value.assign(c.value.size(), -kLargest / 64);
    ExpectRefused(c);
    // Nor does it help that the last column of one value alone is large.
    c.value.assign(c.value.size(), 0);
    for (int64_t key = 0; key < 2; ++key) c.value[static_cast<size_t>((key + 1) * d_value - 1)] = kLargest;
    ExpectRefused(c);
  }
}

// A mean of 64 values takes their sum, each a share of the largest number.
TEST_P(PanelOverflowTest, SumsBelowTheLargestNumberAreResults) {
  AttentionCase c = RandomCase({1, 1, 1, 35, 64, 2, 17}, 17);
  c.query.assign(c.query.size(), 0);
  c.value.assign(c.value.size(), std::ldexp(1, 121));
  const PanelCase panels(c, Layout::kGaps);
  ASSERT_TRUE(panels.RunBlocks(Wanted::kRows));
  for (const double mean : panels.Got().output) EXPECT_EQ(mean, std::ldexp(1, 121));
  c = RandomCase({1, 1, 1, 35, 1, 2, 17}, 18);
  c.value.assign(c.value.size(), kLargest);
  const PanelCase one(c, Layout::kGaps);
  ASSERT_TRUE(one.RunBlocks(Wanted::kRows));
  for (const double value : one.Got().output) EXPECT_EQ(value, kLargest);
}

// The power of two that takes a scale of 1.5 below 1 takes these scores past the largest number: 2 * 2e38.
TEST_P(PanelOverflowTest, WhatOnlyPanelsCannotHoldComesOutAsTheTilesHaveIt) {
  AttentionCase c = RandomCase({1, 1, 1, kPanelBlockQueries - 2, 140, 1, 3}, 19);  // one block, and two of the tiles'
  c.scale = 1.5;
  SetRow(c.query, kPanelBlockQueries - 10, 1, 1e19);
  SetRow(c.key, 100, 1, 2e19);
  ExpectLeftToTiles(c);
  c.causal = true;
  ExpectLeftToTiles(Named(c, "causal"));
}

}  // namespace
}  // namespace attend::compute
