#include "server/compute/attention/panel_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "tests/server/compute/attention/panel_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr int64_t kCounts[] = {1,  2,  3,  5,  7,  15,  16,  17,  31,  32,  33, 47,
                               48, 49, 64, 65, 95, 129, 191, 192, 193, 385, 769};
constexpr int64_t kWidths[] = {1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 128, 129};
constexpr Layout kLayouts[] = {Layout::kHeads, Layout::kTokens, Layout::kGaps};

class PanelAttentionTest : public PanelTest {};
INSTANTIATE_TEST_SUITE_P(Target, PanelAttentionTest, testing::ValuesIn(PanelTargets()), hwy::TestParamTargetName);

void Fill(BroadcastCase<uint8_t>& allowed, std::array<int64_t, 4> shape, uint64_t seed) {
  allowed.shape = shape;
  for (const double v : RandomNormal(shape[0] * shape[1] * shape[3], seed)) allowed.data.push_back(v < 0.7 ? 1 : 0);
}

void Fill(BroadcastCase<double>& bias, std::array<int64_t, 4> shape, uint64_t seed) {
  bias.shape = shape;
  for (const double v : RandomNormal(shape[0] * shape[1] * shape[3], seed)) {
    bias.data.push_back(v > 1.2 ? kMinusInfinity : static_cast<double>(static_cast<float>(2 * v)));
  }
}

TEST_P(PanelAttentionTest, AgreesWithTheOracleAtEverySize) {
  constexpr size_t kCountsSize = std::size(kCounts);
  constexpr size_t kWidthsSize = std::size(kWidths);
  for (size_t i = 0; i < kCountsSize; ++i) {
    for (size_t s = 0; s < 2; ++s) {
      const Sizes sizes{1,
                        1,
                        1,
                        kCounts[i],
                        kCounts[(7 * i + 5 * s) % kCountsSize],
                        kWidths[(5 * i + 3 * s) % kWidthsSize],
                        kWidths[(3 * i + 11 * s + 1) % kWidthsSize]};
      ExpectPanelsAgree(RandomCase(sizes, 31 * i + s), kLayouts[(i + s) % 3]);
    }
  }
}

TEST_P(PanelAttentionTest, EveryWidthOfQueriesAndValues) {
  for (const int64_t d : kWidths) {
    for (const int64_t d_value : kWidths) {
      ExpectPanelsAgree(RandomCase({1, 1, 1, 1 + d % 19, 1 + d_value % 13, d, d_value}, 7),
                        kLayouts[(d + d_value) % 3]);
    }
  }
}

TEST_P(PanelAttentionTest, HeadsLieWhereTheirStridesSay) {
  for (const Layout layout : kLayouts) {
    ExpectPanelsAgree(RandomCase({2, 6, 2, 17, 33, 5, 3}, 1), layout);
    ExpectPanelsAgree(RandomCase({3, 4, 1, 5, 65, 16, 17}, 2), layout);
    ExpectPanelsAgree(RandomCase({2, 3, 3, 49, 15, 33, 48}, 3), layout);
  }
}

TEST_P(PanelAttentionTest, EveryBand) {
  constexpr int64_t kUnbounded = -1;
  constexpr int64_t kShapes[][2] = {{1, 3}, {7, 7}, {17, 49}, {65, 17}, {50, 47}};
  for (const auto& [n, m] : kShapes) {
    for (int which = 0; which < 96; ++which) {
      AttentionCase c = Named(RandomCase({3, 1, 1, n, m, 2, 1}, 5), "band " + std::to_string(which));
      constexpr int64_t kLefts[] = {kUnbounded, 0, 1, 20};
      constexpr int64_t kRights[] = {kUnbounded, 0, 2};
      c.causal = which & 1;
      c.alignment = which & 2 ? Alignment::kTopLeft : Alignment::kBottomRight;
      if (which & 4) c.key_lengths = {m / 2, 0, m};
      if (kLefts[which / 8 % 4] != kUnbounded) c.window_left = kLefts[which / 8 % 4];
      if (kRights[which / 32] != kUnbounded) c.window_right = kRights[which / 32];
      ExpectPanelsAgree(c, kLayouts[which % 3]);
    }
  }
}

TEST_P(PanelAttentionTest, EveryMaskThatIsTheSameForAllQueries) {
  for (int which = 0; which < 128; ++which) {
    AttentionCase c = Named(RandomCase({2, 2, 1, 35, 50, 4, 3}, 6), "masks " + std::to_string(which));
    if (which & 1) c.alibi_slopes = {0.25, 0.0107};
    if (which & 2) c.normalization = SoftmaxNormalization{0.7};
    if ((which & 12) == 4) Fill(c.allowed, {2, 1, 1, 50}, 11);
    if ((which & 12) == 8) Fill(c.allowed, {1, 2, 1, 50}, 12);
    if ((which & 12) == 12) Fill(c.allowed, {2, 2, 1, 1}, 13);
    if (which & 16) Fill(c.bias, {2, 2, 1, 50}, 14);
    if (which & 32) c.causal = true;
    if (which & 64) c.window_left = 9;
    if (which % 5 == 0) c.scale = -3;
    ExpectPanelsAgree(c, kLayouts[which % 3]);
  }
}

TEST_P(PanelAttentionTest, ABiasMayBeOneNumberForAWholeHead) {
  AttentionCase c = RandomCase({1, 3, 1, 20, 30, 4, 3}, 8);
  c.bias.shape = {1, 3, 1, 1};
  c.bias.data = {-7, kMinusInfinity, 300};
  ExpectPanelsAgree(c);
}

// Tiles of 350 keys; a run of hidden ones covers the first tile, a middle one, the last, or all.
TEST_P(PanelAttentionTest, WholeTilesMayBeHidden) {
  constexpr int64_t kKeys = 1050;
  constexpr int64_t kHidden[][2] = {{0, 350}, {0, 701}, {300, 800}, {700, kKeys}, {0, kKeys - 1}, {0, kKeys}};
  for (const auto& [begin, end] : kHidden) {
    for (const bool by_bias : {false, true}) {
      AttentionCase c = RandomCase({1, 1, 1, 35, kKeys, 5, 3}, 13);
      c.name += " hidden " + std::to_string(begin) + " to " + std::to_string(end);
      c.causal = true;
      if (by_bias) {
        c.bias.shape = {1, 1, 1, kKeys};
        c.bias.data.assign(kKeys, 0.5);
        std::fill(c.bias.data.begin() + begin, c.bias.data.begin() + end, kMinusInfinity);
      } else {
        c.allowed.shape = {1, 1, 1, kKeys};
        c.allowed.data.assign(kKeys, 1);
        std::fill(c.allowed.data.begin() + begin, c.allowed.data.begin() + end, 0);
      }
      ExpectPanelsAgree(c);
    }
  }
}

TEST_P(PanelAttentionTest, BandsAcrossTheBordersOfTilesAndBlocks) {
  for (int which = 0; which < 16; ++which) {
    AttentionCase c = Named(RandomCase({1, 1, 1, 200, 450, 2, 1}, 14), "bands " + std::to_string(which));
    c.causal = which & 1;
    if (which & 2) c.window_left = 150;
    if (which & 4) c.alignment = Alignment::kTopLeft;
    if (which & 8) c.key_lengths = {407};
    ExpectPanelsAgree(c);
  }
}

TEST_P(PanelAttentionTest, EmptySizes) {
  ExpectPanelsAgree(RandomCase({2, 2, 1, 3, 0, 2, 2}, 15));
  ExpectPanelsAgree(RandomCase({2, 2, 1, 3, 40, 2, 0}, 16));
}

TEST_P(PanelAttentionTest, SameBitsWithAnyNumberOfWorkers) {
  AttentionCase c = RandomCase({2, 2, 1, 400, 700, 17, 33}, 20);
  c.causal = true;
  c.key_lengths = {700, 500};
  const PanelCase alone(c, Layout::kHeads);
  ASSERT_TRUE(alone.RunBlocks(Wanted::kRows));
  const Answer want = alone.Got();
  for (const int workers : {1, 2, 7}) {
    const PanelCase panels(c, Layout::kGaps);
    ThreadExecutor threads(workers);
    runtime::BufferPool pool;
    ASSERT_TRUE(PanelAttention(threads, pool, panels.problem(), panels.Results(Wanted::kRows)).ok());
    EXPECT_EQ(panels.Got().output, want.output) << workers << " workers";
    EXPECT_EQ(panels.Got().lse, want.lse) << workers << " workers";
    EXPECT_EQ(panels.Got().entropy, want.entropy) << workers << " workers";
    EXPECT_TRUE(panels.OnlyResultsWritten());
  }
}

}  // namespace
}  // namespace attend::compute
