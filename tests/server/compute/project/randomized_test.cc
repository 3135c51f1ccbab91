#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "server/compute/project/low_rank.h"
#include "server/compute/project/triplets.h"
#include "server/runtime/cancellation.h"
#include "tests/server/compute/project/project_test_util.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr double kEpsilon = 0x1p-52;

// Signal of 30 directions that fall by `decay`, and noise of a flat spectrum.
std::vector<double> SignalAndNoise(int64_t n, int64_t m, double decay, double noise) {
  constexpr int64_t kSignal = 30;
  const auto left = NormalValues<double>(n * kSignal, 1), right = NormalValues<double>(kSignal * m, 2);
  auto a = NormalValues<double>(n * m, 3, noise);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < kSignal; ++k) {
      const double x = left[i * kSignal + k] * std::pow(decay, k);
      for (int64_t j = 0; j < m; ++j) a[i * m + j] += x * right[k * m + j];
    }
  }
  return a;
}

class Randomized : public testing::Test {
 protected:
  std::optional<Triplets> Sketch(const std::vector<double>& a, int64_t n, int64_t m, int64_t rank) {
    auto found = RandomizedTriplets(executor_, pool_, a.data(), n, m, rank, kEpsilon);
    EXPECT_TRUE(found.ok()) << found.status();
    return *std::move(found);
  }

  std::vector<double> Values(std::vector<double> a, int64_t n, int64_t m) {
    return *SingularValues(executor_, pool_, a.data(), n, m);
  }

  // ||a - sum of triplets||, entry by entry.
  static double Distance(const std::vector<double>& a, const Triplets& t, int64_t n, int64_t m) {
    double square = 0;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        double x = a[i * m + j];
        for (int64_t k = 0; k < t.rank; ++k) {
          x -= t.left.as<double>()[k * n + i] * t.values[k] * t.right.as<double>()[k * m + j];
        }
        square += x * x;
      }
    }
    return std::sqrt(square);
  }

  runtime::Cancellation cancellation_;
  runtime::InlineExecutor executor_{cancellation_};
  runtime::BufferPool pool_;
};

// Whatever the spectrum: what is kept is as near to the best as it says, and what is not near enough is not kept.
TEST_F(Randomized, SaysHowNearToTheBestItIs) {
  constexpr int64_t n = 200, m = 260;
  int kept = 0;
  for (double decay : {1.0, 0.9, 0.7, 0.5, 0.3, 0.1}) {
    for (double noise : {0.0, 1e-10, 1e-6, 1e-2, 1.0}) {
      for (int64_t rank : {1, 5, 16}) {
        const auto a = SignalAndNoise(n, m, decay, noise);
        const auto found = Sketch(a, n, m, rank);
        if (!found.has_value()) continue;
        ++kept;
        const auto values = Values(a, n, m);
        double rest = 0;
        for (size_t k = values.size(); k-- > static_cast<size_t>(rank);) rest += values[k] * values[k];
        const double best = std::sqrt(rest), distance = Distance(a, *found, n, m);
        const double rounding = 1e-13 * values[0];
        EXPECT_LE(distance, best * found->distance_over_best + rounding) << decay << " " << noise << " " << rank;
        EXPECT_LE(found->distance_over_best, 1 + 1.1e-4);
        for (int64_t k = 0; k < rank; ++k) EXPECT_LE(found->values[k], values[k] + rounding);
        const int64_t seen = CountAboveRounding(found->values, n, m, kEpsilon);
        const int64_t all = CountAboveRounding(values, n, m, kEpsilon);
        EXPECT_LE(seen, all);
        if (found->all_values_known) {
          EXPECT_EQ(seen, all);
        }
      }
    }
  }
  EXPECT_GE(kept, 45);  // of 90: all but those whose last value stands in a crowd
}

TEST_F(Randomized, LeavesFlatSpectraToTheExactMethod) {
  EXPECT_FALSE(Sketch(NormalValues<double>(300 * 300, 4), 300, 300, 8).has_value());
}

TEST_F(Randomized, ZeroAndRankDeficientMatrices) {
  const auto zero = Sketch(std::vector<double>(60 * 50, 0.0), 60, 50, 3);
  ASSERT_TRUE(zero.has_value());
  EXPECT_EQ(zero->values[0], 0);
  EXPECT_TRUE(zero->all_values_known);
  const auto deficient = Sketch(SignalAndNoise(60, 50, 1e-9, 0), 60, 50, 4);
  ASSERT_TRUE(deficient.has_value());
  EXPECT_EQ(CountAboveRounding(deficient->values, 60, 50, kEpsilon), 2);
  EXPECT_TRUE(deficient->all_values_known);
}

TEST_F(Randomized, BitsDependOnTheInputsAlone) {
  const auto a = SignalAndNoise(300, 280, 0.7, 1e-6);
  const auto alone = Sketch(a, 300, 280, 6);
  ThreadExecutor threads(4);
  const auto shared = RandomizedTriplets(threads, pool_, a.data(), 300, 280, 6, kEpsilon);
  ASSERT_TRUE(alone.has_value() && shared.ok() && shared->has_value());
  EXPECT_EQ(alone->values, (*shared)->values);
  EXPECT_TRUE(std::equal(alone->left.as<double>(), alone->left.as<double>() + 300 * 6, (*shared)->left.as<double>()));
}

TEST_F(Randomized, IsTriedOnLargeMatricesAndReported) {
  EXPECT_FALSE(WorthRandomizing(1023, 4096, 1));
  EXPECT_FALSE(WorthRandomizing(1024, 1024, 33));
  constexpr int64_t n = 1024, m = 1100;
  const auto a = SignalAndNoise(n, m, 0.7, 1e-4);
  LowRankResult result;
  const LowRankProblem<double> problem{1, n, m, a.data(), 8, 1};
  ASSERT_TRUE(LowRankProjection(executor_, pool_, problem, result).ok());
  const LowRankReport& report = result.reports[0];
  EXPECT_TRUE(report.randomized);
  EXPECT_TRUE(report.rank_is_least);
  EXPECT_EQ(report.numerical_rank, 18);  // as many as the sketch has
  const auto values = Values(a, n, m);
  double rest = 0, total = 0;
  for (size_t k = values.size(); k-- > 0;) (k < 8 ? total : rest) += values[k] * values[k];
  EXPECT_NEAR(report.distance, std::sqrt(rest), 2e-4 * std::sqrt(rest));
  EXPECT_NEAR(report.energy, total / (total + rest), 1e-9);
}

TEST_F(Randomized, StopsWhenCancelled) {
  cancellation_.Cancel();
  const auto a = SignalAndNoise(60, 50, 0.5, 0);
  const auto found = RandomizedTriplets(executor_, pool_, a.data(), 60, 50, 4, kEpsilon);
  EXPECT_EQ(found.status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace attend::compute
