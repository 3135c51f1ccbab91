#include "server/compute/attention/decode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class DecodeTest : public testing::Test {
 public:
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(DecodeTest, FloatTypes);

TYPED_TEST(DecodeTest, AgreesWithTheOracleAtEverySize) {
  for (const int64_t n : {1, 2, 3, 4, 5}) {
    for (const int64_t m : {384, 385, 512, 513, 1100, 2049}) {
      for (const int64_t d : {1, 5, 17, 64, 129}) {
        ExpectRowsAgree<TypeParam>(RandomCase({2, 4, 2, n, m, d, 1 + m % 70}, static_cast<uint64_t>(n * m + d)));
      }
    }
  }
}

TYPED_TEST(DecodeTest, MasksReachAcrossTheRanges) {
  for (int which = 0; which < 32; ++which) {
    AttentionCase c = RandomCase({2, 2, 1, 3, 1300, 8, 5}, 71);
    c.name += " masks " + std::to_string(which);
    c.causal = which & 1;
    if (which & 2) c.window_left = 600;
    if (which & 4) c.key_lengths = {1299, 520};
    if (which & 8) c.alibi_slopes = {0.01, 0.5};
    if (which & 16) {
      c.bias.shape = {1, 1, 1, 1300};
      c.bias.data = RandomNormal(1300, 72);
      for (size_t j = 300; j < 1100; ++j) c.bias.data[j] = kMinusInfinity;  // a whole range
    }
    ExpectRowsAgree<TypeParam>(c);
  }
}

TYPED_TEST(DecodeTest, ARowThatSeesNoKeyIsZero) {
  AttentionCase c = RandomCase({1, 2, 1, 2, 1300, 8, 5}, 73);
  c.bias.shape = {1, 1, 2, 1};
  c.bias.data = {kMinusInfinity, 0};
  ExpectRowsAgree<TypeParam>(c);
}

TYPED_TEST(DecodeTest, EveryScoreAndPosition) {
  AttentionCase c = RandomCase({1, 4, 2, 2, 1300, 8, 5}, 74);
  c.position = RotaryPosition{};
  c.causal = true;
  c.normalization = SoftmaxNormalization{2};
  for (const AttentionCase& scored : {c, WithAdditiveScore(c, 5, 6, 75), WithBilinearScore(c, 6, 76)}) {
    ExpectRowsAgree<TypeParam>(scored);
  }
}

TYPED_TEST(DecodeTest, SameBitsWithAnyNumberOfWorkers) {
  const AttentionCase c = RandomCase({2, 4, 2, 3, 3000, 17, 33}, 77);
  Answer first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    Answer got;
    ASSERT_TRUE(RunCase<TypeParam>(c, threads, Wanted::kRows, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got.output, first.output) << workers << " workers";
    EXPECT_EQ(got.lse, first.lse) << workers << " workers";
    EXPECT_EQ(got.entropy, first.entropy) << workers << " workers";
  }
}

TYPED_TEST(DecodeTest, ManyKeysOfNoHead) {
  AttentionProblem<TypeParam> p;
  p.m = 5000;
  ASSERT_FALSE(IsDecoding(p, AttentionResult<TypeParam>{}));
  Answer got;
  EXPECT_TRUE(RunCase<TypeParam>(RandomCase({1, 0, 1, 1, 5000, 2, 2}, 78), this->executor, Wanted::kRows, got).ok());
}

}  // namespace
}  // namespace attend::compute
