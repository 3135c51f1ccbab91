#include "server/compute/attention/generator_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class GeneratorAttentionTest : public testing::Test {
 public:
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(GeneratorAttentionTest, FloatTypes);

AttentionCase GeneratorCase(const Sizes& sizes, Rate rate, double time, uint64_t seed) {
  AttentionCase c = RandomCase(sizes, seed);
  c.normalization = GeneratorExpNormalization{rate, time};
  c.name += " rate " + std::to_string(static_cast<int>(rate)) + " time " + std::to_string(time);
  return c;
}

TYPED_TEST(GeneratorAttentionTest, AgreesWithTheOracleAtEverySize) {
  for (const int64_t n : {1, 2, 3, 5, 17, 64, 65}) {
    for (const Rate rate : {Rate::kExp, Rate::kSoftplus, Rate::kRelu}) {
      for (const double time : {0.0, 0.01, 0.7}) {
        const auto seed = static_cast<uint64_t>(n);
        ExpectAgreement<TypeParam>(GeneratorCase({2, 4, 2, n, n, 1 + n % 7, 1 + n % 5}, rate, time, seed));
      }
    }
  }
}

TYPED_TEST(GeneratorAttentionTest, MaskedPairsHaveNoRate) {
  for (const bool causal : {false, true}) {
    AttentionCase c = GeneratorCase({2, 2, 1, 17, 17, 4, 3}, Rate::kSoftplus, 0.5, 2);
    c.causal = causal;
    c.key_lengths = {17, 9};
    c.allowed.shape = {1, 1, 17, 17};
    c.bias.shape = {1, 2, 1, 17};
    for (const double v : RandomNormal(17 * 17, 3)) c.allowed.data.push_back(v < 0.8 ? 1 : 0);
    for (const double v : RandomNormal(2 * 17, 4)) c.bias.data.push_back(v > 1 ? kMinusInfinity : v);
    ExpectAgreement<TypeParam>(c);
  }
}

TYPED_TEST(GeneratorAttentionTest, QueryWithoutKeysKeepsItsOwnValue) {
  AttentionCase c = GeneratorCase({1, 1, 1, 5, 5, 3, 2}, Rate::kExp, 1, 5);
  c.bias.shape = {1, 1, 5, 1};
  c.bias.data = {0, 0, kMinusInfinity, 0, 0};
  Answer got;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  for (size_t j = 0; j < 5; ++j) EXPECT_EQ(got.weights[2 * 5 + j], j == 2 ? 1 : 0);
  for (size_t j = 0; j < 2; ++j)
    EXPECT_EQ(got.output[2 * 2 + j], static_cast<double>(static_cast<TypeParam>(c.value[2 * 2 + j])));
  EXPECT_EQ(got.lse[2], kMinusInfinity);
  EXPECT_EQ(got.entropy[2], 0);
}

TYPED_TEST(GeneratorAttentionTest, LargeHeadsAreSplit) {
  const int64_t n = kLargestWholeHead + 14;
  AttentionCase c = GeneratorCase({1, 1, 1, n, n, 5, 3}, Rate::kSoftplus, 0.02, 6);
  c.causal = true;
  ExpectAgreement<TypeParam>(c);
}

TYPED_TEST(GeneratorAttentionTest, SameBitsWithAnyNumberOfWorkers) {
  for (const int64_t n : {int64_t{33}, kLargestWholeHead + 44}) {
    const AttentionCase c = GeneratorCase({1, 3, 3, n, n, 5, 3}, Rate::kSoftplus, 0.02, 7);
    for (const Wanted wanted : {Wanted::kOutputOnly, Wanted::kEverything}) {
      Answer first;
      for (const int workers : {1, 2, 7}) {
        ThreadExecutor threads(workers);
        Answer got;
        ASSERT_TRUE(RunCase<TypeParam>(c, threads, wanted, got).ok());
        if (workers == 1) first = got;
        EXPECT_EQ(got.output, first.output) << workers << " workers";
        EXPECT_EQ(got.weights, first.weights) << workers << " workers";
      }
    }
  }
}

TYPED_TEST(GeneratorAttentionTest, RowsOfWeightsSumToOne) {
  const AttentionCase c = GeneratorCase({1, 2, 2, 65, 65, 8, 2}, Rate::kExp, 3, 8);
  Answer got;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  for (size_t row = 0; row < 2 * 65; ++row) {
    double sum = 0;
    for (size_t j = 0; j < 65; ++j) {
      EXPECT_GE(got.weights[row * 65 + j], 0);
      sum += got.weights[row * 65 + j];
    }
    // Each of 65 weights is rounded once: half a unit in its last place.
    EXPECT_NEAR(sum, 1, 2 * std::numeric_limits<TypeParam>::epsilon()) << "row " << row;
  }
}

TYPED_TEST(GeneratorAttentionTest, RatesPastTheLargestNumberAreOutOfRange) {
  AttentionCase c = GeneratorCase({1, 1, 1, 5, 5, 1, 2}, Rate::kExp, 1, 9);
  c.query.assign(5, 30);
  c.key = {1, 1, 40, 1, 1};
  Answer got;
  EXPECT_EQ(RunCase<TypeParam>(c, this->executor, Wanted::kOutputOnly, got).code(), absl::StatusCode::kOutOfRange);
  c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 1};
  EXPECT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kOutputOnly, got).ok());
}

TYPED_TEST(GeneratorAttentionTest, ARateOnTheDiagonalMayOverflow) {
  AttentionCase c = GeneratorCase({1, 1, 1, 2, 2, 2, 1}, Rate::kExp, 1, 10);
  c.query = {40, 0, 0, 40};
  c.key = {40, 0, 0, 40};
  c.scale = 1;
  Answer got;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  // G = ((-1, 1), (1, -1)).
  EXPECT_NEAR(got.weights[1], (1 - std::exp(-2)) / 2, 2 * std::numeric_limits<TypeParam>::epsilon());
}

TYPED_TEST(GeneratorAttentionTest, EmptySizes) {
  for (const Sizes& sizes : {Sizes{0, 2, 1, 3, 3, 2, 2}, Sizes{2, 2, 1, 0, 0, 2, 2}, Sizes{2, 2, 1, 3, 3, 2, 0}}) {
    ExpectAgreement<TypeParam>(GeneratorCase(sizes, Rate::kSoftplus, 1, 11));
  }
}

}  // namespace
}  // namespace attend::compute
