// Panels and the size of numbers: scales, logits, running maxima, entropies.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "server/compute/attention/panel_block.h"
#include "tests/server/compute/attention/panel_case.h"

namespace attend::compute {
namespace {

class PanelNumbersTest : public PanelTest {};
INSTANTIATE_TEST_SUITE_P(Target, PanelNumbersTest, testing::ValuesIn(PanelTargets()), hwy::TestParamTargetName);

TEST_P(PanelNumbersTest, EveryScale) {
  for (const double scale : {-1.0, -0.125, 0.3, 5.0, -40.0, 1e-20, 1e-30}) {
    AttentionCase c = Named(RandomCase({1, 2, 1, 65, 395, 16, 17}, 9), "scale " + std::to_string(scale));
    c.scale = scale;
    ExpectPanelsAgree(c);
    c.alibi_slopes = {0.01, 0};
    ExpectPanelsAgree(Named(c, "alibi"));
  }
}

// Inputs and scale that make ordinary scores together.
TEST_P(PanelNumbersTest, ScalesFarFromOneMeetInputsFarFromOne) {
  for (const double unit : {1e-14, 1e-10, 1e10, 1e14}) {
    AttentionCase c = Named(RandomCase({1, 1, 1, 33, 400, 16, 5}, 10), "inputs " + std::to_string(unit));
    for (std::vector<double>* inputs : {&c.query, &c.key}) {
      for (double& v : *inputs) v = static_cast<double>(static_cast<float>(v * unit));
    }
    c.scale = 0.25 / unit / unit;
    ExpectPanelsAgree(c);
    c.normalization = SoftmaxNormalization{2};
    ExpectPanelsAgree(Named(c, "softcap"));
  }
}

TEST_P(PanelNumbersTest, LargeLogitsAreAsExactAsTheirScores) {
  for (const double scale : {100.0, 300.0, 1e4}) {
    AttentionCase c = RandomCase({1, 2, 1, 65, 800, 16, 4}, 11);
    c.scale = scale;
    ExpectPanelsAgree(c);
    c.causal = true;
    ExpectPanelsAgree(Named(c, "causal"));
  }
}

// One column, so that the order of the keys is the order of every positive query's scores and its reverse for others.
TEST_P(PanelNumbersTest, MaximaRiseAndFallFromTileToTile) {
  for (const double scale : {0.1, 3.0, 200.0}) {
    for (const bool causal : {false, true}) {
      AttentionCase c = RandomCase({1, 1, 1, 50, 1600, 1, 5}, 12);
      std::sort(c.key.begin(), c.key.end());
      c.scale = scale;
      c.causal = causal;
      ExpectPanelsAgree(c);
    }
  }
}

// d = 64, scale 1 / 8: weights of about 1 / 1300, whose entropy is 6.7 nats.
TEST_P(PanelNumbersTest, EntropyOfOrdinaryInputsIsGoodToOneMillionth) {
  const AttentionCase c = RandomCase({1, 1, 1, 49, 1300, 64, 1}, 17);
  const PanelCase panels(c, Layout::kHeads);
  ASSERT_TRUE(panels.RunBlocks(Wanted::kRows));
  const Answer want = Oracle(c);
  EXPECT_TRUE(AllNear(panels.Got().entropy, want.entropy, 3e-6));
  EXPECT_TRUE(AllNear(panels.Got().lse, want.lse, 1.5e-6));
}

// One weight alone, or 64 equal ones among others that are 0: the sums are exact.
TEST_P(PanelNumbersTest, EntropyOfExactWeights) {
  AttentionCase c = RandomCase({1, 1, 1, 20, 500, 1, 1}, 18);
  c.query.assign(20, 1);
  c.scale = 1;
  for (const size_t equal : {1, 64}) {
    c.key.assign(500, -1000);
    for (size_t j = 0; j < equal; ++j) c.key[j * 7] = 12;
    const PanelCase panels(c, Layout::kHeads);
    ASSERT_TRUE(panels.RunBlocks(Wanted::kRows));
    for (const double entropy : panels.Got().entropy) {
      EXPECT_EQ(entropy, static_cast<double>(std::log(static_cast<float>(equal))));
    }
  }
}

}  // namespace
}  // namespace attend::compute
