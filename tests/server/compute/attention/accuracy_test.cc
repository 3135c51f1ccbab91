// What float32 may lose, in units of its roundoff, also where logits are of several hundred.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/gradient_case.h"

namespace attend::compute {
namespace {

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

// The largest sum over queries of weight times |slope|, for any key and column: what errors of weights are relative to.
double LargestValueTerm(const AttentionCase& c, const Answer& answer, const std::vector<double>& slopes) {
  double largest = 0;
  for (int64_t head = 0; head < c.batch * c.heads; ++head) {
    for (int64_t key = 0; key < c.m; ++key) {
      for (int64_t col = 0; col < c.d_value; ++col) {
        double sum = 0;
        for (int64_t i = head * c.n; i < (head + 1) * c.n; ++i) {
          sum += answer.weights[static_cast<size_t>(i * c.m + key)] *
                 std::fabs(slopes[static_cast<size_t>(i * c.d_value + col)]);
        }
        largest = std::max(largest, sum);
      }
    }
  }
  return largest;
}

TEST(Accuracy, LogitsOfAnySizeAndWidth) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const int64_t d : {64, 128}) {
    for (const int64_t n : {65, 300}) {
      for (const double logits : {1, 30, 300}) {
        for (const bool causal : {false, true}) {
          AttentionCase c = RandomCase({1, 1, 1, n, n, d, d}, static_cast<uint64_t>(n + d));
          c.scale *= logits;
          c.causal = causal;
          c.name += " logits " + std::to_string(logits) + (causal ? " causal" : "");
          ExpectAgreement<float>(c);
          const std::vector<double> slopes = RandomNormal(n * d, 5);
          GradientsByName got;
          GradientsByName want;
          ASSERT_TRUE(RunGradients<float>(c, slopes, executor, got).ok());
          ASSERT_TRUE(RunGradients<double>(c, slopes, executor, want).ok());
          // A weight's error as ToleranceFor derives it; the sum over queries adds its own roundings.
          const double weight = ToleranceFor(c, kEpsilon).weight + kEpsilon * std::sqrt(static_cast<double>(n));
          EXPECT_TRUE(AllNear(got["value"], want["value"], weight * LargestValueTerm(c, Oracle(c), slopes))) << c.name;
        }
      }
    }
  }
}

// Scores that float holds exactly, and an lse that it does not: nothing but the exponential and the sums is rounded.
TEST(Accuracy, GradientsOfLargeScoresAreAsExactAsTheDifferencesOfScores) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const double offset : {0, 100, 1000, 10000}) {
    for (const bool banded : {false, true}) {
      AttentionCase c = RandomCase({1, 2, 1, 150, 300, 1, 3}, 6);
      c.scale = 1;
      c.query.assign(c.query.size(), 1);
      for (size_t j = 0; j < c.key.size(); ++j) c.key[j] = offset + 0.25 * static_cast<double>(j * 7 % 23);
      if (banded) c.window_left = 40;
      c.name = "offset " + std::to_string(offset) + (banded ? " banded" : "");
      const std::vector<double> slopes = RandomNormal(2 * 150 * 3, 7);
      GradientsByName got;
      GradientsByName want;
      ASSERT_TRUE(RunGradients<float>(c, slopes, executor, got).ok());
      ASSERT_TRUE(RunGradients<double>(c, slopes, executor, want).ok());
      // Of a weight: 2 units for the exponential, 3 for the logarithm of the sum (up to 7) and its rounding, and the
      // sum's lanes; sums over 150 queries and two heads add 17 roundings.
      EXPECT_TRUE(AllNear(got["value"], want["value"], 32 * kEpsilon * LargestValueTerm(c, Oracle(c), slopes)))
          << c.name;
    }
  }
}

// Output alone, so that panels compute it, whose sums over keys are the longest there are. Of values of order one: six
// standard deviations of the roundings of a tile's 384 terms and of the sums of 86 tiles, and a few for the weights.
TEST(Accuracy, ManyKeysAddUpInShortChains) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const double mean : {0.0, 1.0}) {
    AttentionCase c = RandomCase({1, 1, 1, 20, 32768, 8, 8}, 11);
    for (double& value : c.value) value += mean;
    Answer got;
    ASSERT_TRUE(RunCase<float>(c, executor, Wanted::kRows, got).ok());
    const Answer want = Oracle(c);
    EXPECT_TRUE(AllNear(got.output, want.output, 16 * kEpsilon)) << "values around " << mean;
    EXPECT_TRUE(AllNear(got.lse, want.lse, 16 * kEpsilon)) << "values around " << mean;
  }
}

// Ranges of keys whose lse float cannot tell apart. Scores are exact: a weight is off by the exponential's 2 units and
// its share of the sums' roundings.
TEST(Accuracy, DecodingOfLargeScoresIsAsExactAsTheirDifferences) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const int64_t n : {1, 8, 12}) {
    for (const double offset : {0.0, 100.0, 1e3, 1e4, 1e5}) {
      AttentionCase c = RandomCase({1, 1, 1, n, 3000, 1, 3}, 12);
      c.scale = 1;
      c.query.assign(c.query.size(), 1);
      for (size_t j = 0; j < c.key.size(); ++j) c.key[j] = offset + 0.25 * static_cast<double>(j * 7 % 23);
      c.name = "offset " + std::to_string(offset) + " n " + std::to_string(n);
      Answer got;
      ASSERT_TRUE(RunCase<float>(c, executor, Wanted::kRows, got).ok());
      const Answer want = Oracle(c);
      EXPECT_TRUE(AllNear(got.output, want.output, 16 * kEpsilon)) << c.name;
      EXPECT_TRUE(AllNear(got.entropy, want.entropy, 32 * kEpsilon * want.entropy[0])) << c.name;
      EXPECT_TRUE(AllNear(got.lse, want.lse, 2 * kEpsilon * (want.lse[0] + 1))) << c.name;
    }
  }
}

}  // namespace
}  // namespace attend::compute
