// The kernels of attention that tiles, few queries and additive scores use, with every instruction set that they were
// compiled for and this CPU has.
#include <gtest/gtest.h>

#include <string>

#include "hwy/tests/hwy_gtest.h"
#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {
namespace {

class AttentionInstructionSets : public hwy::TestWithParamTarget {
 public:
  static void ExpectBothAgree(const AttentionCase& c) {
    ExpectAgreement<float>(c);
    ExpectAgreement<double>(c);
  }
};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(AttentionInstructionSets);

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65};

TEST_P(AttentionInstructionSets, TilesAndFewQueries) {
  for (const int64_t n : kSizes) {
    for (const int64_t m : kSizes) {
      ExpectBothAgree(RandomCase({1, 1, 1, n, m, kSizes[(n + 3 * m) % 7], 16}, static_cast<uint64_t>(n + 100 * m)));
    }
  }
}

TEST_P(AttentionInstructionSets, Masks) {
  for (int which = 0; which < 32; ++which) {
    AttentionCase c = RandomCase({2, 2, 1, 19, 35, 3, 4}, 21);
    c.name += " masks " + std::to_string(which);
    c.causal = which & 1;
    if (which & 2) c.window_left = 9;
    if (which & 4) c.alibi_slopes = {0.25, 0.0107};
    if (which & 8) c.normalization = SoftmaxNormalization{0.7};
    if (which & 16) {
      c.bias.shape = {1, 1, 19, 35};
      c.bias.data = RandomNormal(19 * 35, 22);
      for (size_t i = 0; i < c.bias.data.size(); i += 7) c.bias.data[i] = kMinusInfinity;
    }
    ExpectBothAgree(c);
  }
}

TEST_P(AttentionInstructionSets, AdditiveScores) {
  for (const int64_t h : kSizes) {
    ExpectBothAgree(WithAdditiveScore(RandomCase({1, 2, 1, 5, 17, 3, 4}, 23), h, 6, 24));
  }
}

TEST_P(AttentionInstructionSets, GeneratorsOfEveryRate) {
  for (const Rate rate : {Rate::kExp, Rate::kSoftplus, Rate::kRelu}) {
    AttentionCase c = RandomCase({1, 1, 1, 17, 17, 3, 4}, 25);
    c.normalization = GeneratorExpNormalization{rate, 0.5};
    ExpectBothAgree(c);
  }
}

}  // namespace
}  // namespace attend::compute
