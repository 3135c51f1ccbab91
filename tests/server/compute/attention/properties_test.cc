// What holds for every softmax attention, whatever the numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {
namespace {

// What is asked for decides which kernels compute it: with weights tiles, without them panels or ranges of keys.
template <typename Float, Wanted kWantedResults>
struct Kind {
  using T = Float;
  static constexpr Wanted kWanted = kWantedResults;
};

template <typename Kind>
class AttentionProperties : public testing::Test {
 public:
  static constexpr double kEpsilon = std::numeric_limits<typename Kind::T>::epsilon();

  Answer Run(const AttentionCase& c, Wanted wanted = Kind::kWanted) {
    Answer answer;
    const absl::Status done = RunCase<typename Kind::T>(c, executor, wanted, answer);
    EXPECT_TRUE(done.ok()) << done;
    return answer;
  }

  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using Kinds = testing::Types<Kind<float, Wanted::kEverything>, Kind<float, Wanted::kRows>,
                             Kind<double, Wanted::kEverything>, Kind<double, Wanted::kRows>>;
TYPED_TEST_SUITE(AttentionProperties, Kinds);

// The rows `keys` of a [batch * heads, m, cols] tensor.
std::vector<double> Rows(const std::vector<double>& tensor, int64_t m, int64_t cols, const std::vector<int64_t>& keys) {
  std::vector<double> chosen;
  for (size_t head = 0; head * static_cast<size_t>(m * cols) < tensor.size(); ++head) {
    for (const int64_t key : keys) {
      const auto begin = tensor.begin() + static_cast<int64_t>(head) * m * cols + key * cols;
      chosen.insert(chosen.end(), begin, begin + cols);
    }
  }
  return chosen;
}

AttentionCase WithKeys(const AttentionCase& c, const std::vector<int64_t>& keys) {
  AttentionCase chosen = c;
  chosen.key = Rows(c.key, c.m, c.d_key, keys);
  chosen.value = Rows(c.value, c.m, c.d_value, keys);
  chosen.m = static_cast<int64_t>(keys.size());
  return chosen;
}

std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> keys(static_cast<size_t>(end - begin));
  std::iota(keys.begin(), keys.end(), begin);
  return keys;
}

// The case with each kind of score.
std::vector<AttentionCase> EveryScore(const AttentionCase& c) {
  return {c, WithAdditiveScore(c, 9, 3, 21), WithBilinearScore(c, 5, 22)};
}

TYPED_TEST(AttentionProperties, RowsOfWeightsSumToOne) {
  AttentionCase c = RandomCase({1, 2, 2, 65, 1100, 8, 1}, 1);
  c.causal = true;
  const Answer got = this->Run(c, Wanted::kEverything);
  for (size_t row = 0; row < 2 * 65; ++row) {
    const auto begin = got.weights.begin() + static_cast<int64_t>(row) * 1100;
    EXPECT_GE(*std::min_element(begin, begin + 1100), 0);
    // The kernel sums in lanes of at least 8: up to 138 roundings in a row, of which about sqrt(138) remain.
    const auto sum = static_cast<double>(std::accumulate(begin, begin + 1100, 0.0L));
    EXPECT_NEAR(sum, 1, 12 * TestFixture::kEpsilon);
  }
}

TYPED_TEST(AttentionProperties, CausalPrefixesDoNotSeeLaterTokens) {
  AttentionCase c = RandomCase({1, 2, 2, 150, 150, 8, 3}, 2);
  c.causal = true;
  AttentionCase later = c;
  for (size_t head = 0; head < 2; ++head) {
    for (size_t i = (head * 150 + 140) * 8; i < (head + 1) * 150 * 8; ++i) later.key[i] = -7 * c.key[i];
    for (size_t i = (head * 150 + 140) * 3; i < (head + 1) * 150 * 3; ++i) later.value[i] = 100;
  }
  const Answer before = this->Run(c);
  const Answer after = this->Run(later);
  for (size_t head = 0; head < 2; ++head) {
    for (size_t i = head * 150 * 3; i < (head * 150 + 140) * 3; ++i) ASSERT_EQ(after.output[i], before.output[i]) << i;
    EXPECT_NE(after.output[(head * 150 + 140) * 3], before.output[(head * 150 + 140) * 3]);
  }
}

TYPED_TEST(AttentionProperties, TheOrderOfTheKeysDoesNotMatter) {
  std::vector<int64_t> order = Range(0, 600);
  std::shuffle(order.begin(), order.end(), std::mt19937_64(4));
  for (const AttentionCase& c : EveryScore(RandomCase({2, 2, 1, 17, 600, 8, 5}, 3))) {
    const Answer got = this->Run(WithKeys(c, order));
    const Answer want = this->Run(c);
    // Both runs are within the tolerance of the same truth.
    const Tolerance tolerance = ToleranceFor(c, TestFixture::kEpsilon);
    EXPECT_TRUE(AllNear(got.output, want.output, 2 * tolerance.output)) << c.name;
    EXPECT_TRUE(AllNear(got.lse, want.lse, 2 * tolerance.lse)) << c.name;
    EXPECT_TRUE(AllNear(got.entropy, want.entropy, 2 * tolerance.entropy)) << c.name;
  }
}

// Two partial answers over disjoint keys as one.
std::vector<double> Merge(const Answer& first, const Answer& second, size_t d_value) {
  std::vector<double> merged;
  for (size_t row = 0; row < first.lse.size(); ++row) {
    const double larger = std::max(first.lse[row], second.lse[row]);
    const double lse = larger + std::log(std::exp(first.lse[row] - larger) + std::exp(second.lse[row] - larger));
    for (size_t j = row * d_value; j < (row + 1) * d_value; ++j) {
      merged.push_back(std::exp(first.lse[row] - lse) * first.output[j] +
                       std::exp(second.lse[row] - lse) * second.output[j]);
    }
  }
  return merged;
}

TYPED_TEST(AttentionProperties, PartsOfTheKeysMergeByTheirLse) {
  for (const AttentionCase& c : EveryScore(RandomCase({1, 2, 2, 17, 700, 8, 5}, 5))) {
    const std::vector<double> merged =
        Merge(this->Run(WithKeys(c, Range(0, 123))), this->Run(WithKeys(c, Range(123, 700))), 5);
    const Tolerance tolerance = ToleranceFor(c, TestFixture::kEpsilon);
    EXPECT_TRUE(AllNear(merged, this->Run(c).output, 2 * tolerance.output)) << c.name;
  }
}

// Decoding with a key cache: the last query alone stands where it stood among the others.
TYPED_TEST(AttentionProperties, ADecodingStepIsTheLastRowOfTheWhole) {
  for (const Position& position :
       {Position{NoPosition{}}, Position{RotaryPosition{10000, false}}, Position{RotaryPosition{10000, true}}}) {
    for (AttentionCase c : EveryScore(RandomCase({1, 2, 1, 150, 150, 8, 5}, 8))) {
      c.causal = true;
      c.position = position;
      if (position.index() != 0 && c.d_key % 2 != 0) continue;
      c.window_left = 60;
      c.alibi_slopes = {0.25, 0.125};
      AttentionCase step = c;
      step.n = 1;
      step.query = Rows(c.query, c.n, c.d, {149});
      const std::vector<double> want = Rows(this->Run(c).output, c.n, 5, {149});
      const Tolerance tolerance = ToleranceFor(c, TestFixture::kEpsilon);
      EXPECT_TRUE(AllNear(this->Run(step).output, want, 2 * tolerance.output)) << c.name;
    }
  }
}

TYPED_TEST(AttentionProperties, AConstantOnARowOfScoresChangesOnlyTheLse) {
  for (AttentionCase c : EveryScore(RandomCase({1, 1, 1, 17, 600, 8, 5}, 6))) {
    const Answer want = this->Run(c);
    const Tolerance tolerance = ToleranceFor(c, TestFixture::kEpsilon);
    c.bias.shape = {1, 1, 17, 1};
    for (int i = 0; i < 17; ++i) c.bias.data.push_back(16 * i - 128);
    const Answer got = this->Run(c);
    const Tolerance shifted = ToleranceFor(c, TestFixture::kEpsilon);
    EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output + shifted.output)) << c.name;
    if (TypeParam::kWanted == Wanted::kEverything) {
      EXPECT_TRUE(AllNear(got.weights, want.weights, tolerance.weight + shifted.weight)) << c.name;
    }
    for (size_t i = 0; i < 17; ++i) EXPECT_NEAR(got.lse[i] - c.bias.data[i], want.lse[i], tolerance.lse + shifted.lse);
  }
}

// Grouped heads read the same keys and values as if each had its own copy.
TYPED_TEST(AttentionProperties, GroupedHeadsAreRepeatedKeys) {
  for (AttentionCase c : EveryScore(RandomCase({2, 6, 2, 17, 40, 4, 3}, 9))) {
    if (c.d_key % 2 == 0) c.position = RotaryPosition{};
    AttentionCase repeated = c;
    repeated.kv_heads = 6;
    repeated.key.clear();
    repeated.value.clear();
    for (int64_t head = 0; head < 2 * 6; ++head) {
      const auto key = c.key.begin() + head / 3 * 40 * c.d_key;
      const auto value = c.value.begin() + head / 3 * 40 * 3;
      repeated.key.insert(repeated.key.end(), key, key + 40 * c.d_key);
      repeated.value.insert(repeated.value.end(), value, value + 40 * 3);
    }
    EXPECT_EQ(this->Run(c).output, this->Run(repeated).output) << c.name;
  }
}

}  // namespace
}  // namespace attend::compute
