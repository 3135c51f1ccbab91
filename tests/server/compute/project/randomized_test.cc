#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "server/compute/project/low_rank.h"
#include "server/compute/project/triplets.h"
#include "server/runtime/cancellation.h"
#include "tests/server/compute/project/project_test_util.h"
#include "tests/server/compute/thread_executor.h"
#include "tests/server/compute/watching_executor.h"

namespace attend::compute {
namespace {

constexpr double kEpsilon = 0x1p-52;

RankRule Rule(int64_t rank, double most_over_best = 1 + 1e-4) { return {rank, 1, kEpsilon, most_over_best}; }

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
    return Sketch(a, n, m, Rule(rank));
  }
  std::optional<Triplets> Sketch(const std::vector<double>& a, int64_t n, int64_t m, const RankRule& rule) {
    auto found = RandomizedTriplets(executor_, pool_, a.data(), n, m, rule);
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
  EXPECT_GE(kept, 75);  // of 90: all but some whose last value stands in a crowd
}

TEST_F(Randomized, KeepsFlatSpectraAsNearAsAsked) {
  constexpr int64_t n = 600, m = 620;
  const auto a = NormalValues<double>(n * m, 4);
  const auto values = Values(a, n, m);
  for (int64_t rank : {1, 3, 8}) {
    double rest = 0;
    for (size_t k = values.size(); k-- > static_cast<size_t>(rank);) rest += values[k] * values[k];
    size_t looked_at = 0;
    for (double most : {1.01, 1.001, 1.0001}) {
      const auto found = Sketch(a, n, m, Rule(rank, most));
      ASSERT_TRUE(found.has_value()) << rank << " " << most;
      EXPECT_LE(found->distance_over_best, most);
      EXPECT_LE(Distance(a, *found, n, m), found->distance_over_best * std::sqrt(rest));
      EXPECT_GE(found->values.size(), looked_at);  // no fewer than for less
      looked_at = found->values.size();
      // As near as its residual to some singular value.
      for (int64_t k = 0; k < rank; ++k) {
        double nearest = values[0];
        for (double value : values) nearest = std::min(nearest, std::abs(value - found->values[k]));
        EXPECT_LE(nearest, found->residual + 1e-12);
      }
    }
    EXPECT_FALSE(Sketch(a, n, m, Rule(rank, 1 + 1e-15)).has_value());
  }
}

// A random start does not see in which directions values lie, so a diagonal matrix is as hard as any with its spectrum.
TEST_F(Randomized, BoundHoldsForSpectraThatHideTheirLeaders) {
  constexpr int64_t n = 512;
  const std::vector<std::pair<const char*, std::function<double(int64_t)>>> spectra = {
      {"all equal", [](int64_t) { return 1.0; }},
      {"half of them 1, the others 0", [](int64_t k) { return k < n / 2 ? 1.0 : 0.0; }},
      {"one by a thousandth above a crowd", [](int64_t k) { return k == 0 ? 1.001 : 1.0; }},
      {"more equal leaders than vectors in a block", [](int64_t k) { return k < 40 ? 2.0 : 1.0; }},
      {"a crowd at the rank's edge", [](int64_t k) { return k < 5 ? 3.0 : (k < 60 ? 2 - 1e-6 * k : 1.0); }},
      {"steps", [](int64_t k) { return std::exp2(-static_cast<double>(k / 7)); }},
      {"straight", [](int64_t k) { return 1 - static_cast<double>(k) / n; }},
      {"slow", [](int64_t k) { return std::pow(k + 1.0, -0.5); }},
      {"slower", [](int64_t k) { return std::pow(k + 1.0, -0.1); }},
      {"fast", [](int64_t k) { return std::pow(k + 1.0, -3.0); }},
      {"two scales", [](int64_t k) { return k < 3 ? 1e8 : 1 - static_cast<double>(k) / n; }},
  };
  int kept = 0;
  for (const auto& [name, value] : spectra) {
    std::vector<double> a(n * n, 0.0);
    for (int64_t k = 0; k < n; ++k) a[k * n + k] = value(k);
    for (int64_t rank : {1, 4, 6, 16}) {
      for (double most : {1.01, 1.0001, 1.000001}) {
        const auto found = Sketch(a, n, n, Rule(rank, most));
        if (!found.has_value()) continue;
        ++kept;
        double rest = 0;
        for (int64_t k = n; k-- > rank;) rest += value(k) * value(k);
        const double rounding = 1e-13 * value(0) * std::sqrt(static_cast<double>(n));
        EXPECT_LE(Distance(a, *found, n, n), std::sqrt(rest) * found->distance_over_best + rounding)
            << name << ", rank " << rank << ", " << most;
        EXPECT_LE(found->distance_over_best, most);
      }
    }
  }
  EXPECT_GE(kept, 120);  // of 132
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
  const auto shared = RandomizedTriplets(threads, pool_, a.data(), 300, 280, Rule(6));
  ASSERT_TRUE(alone.has_value() && shared.ok() && shared->has_value());
  EXPECT_EQ(alone->values, (*shared)->values);
  EXPECT_TRUE(std::equal(alone->left.as<double>(), alone->left.as<double>() + 300 * 6, (*shared)->left.as<double>()));
}

TEST_F(Randomized, IsTriedOnLargeMatricesAndReported) {
  EXPECT_TRUE(WorthRandomizing(512, 4096, 16));
  EXPECT_FALSE(WorthRandomizing(511, 4096, 1));
  EXPECT_FALSE(WorthRandomizing(1024, 1024, 33));
  constexpr int64_t n = 1024, m = 1100;
  const auto a = SignalAndNoise(n, m, 0.7, 1e-4);
  LowRankResult result;
  const LowRankProblem<double> problem{1, n, m, a.data(), 8, 1};
  ASSERT_TRUE(LowRankProjection(executor_, pool_, problem, result).ok());
  const LowRankReport& report = result.reports[0];
  EXPECT_TRUE(report.randomized);
  EXPECT_TRUE(report.rank_is_least);
  EXPECT_EQ(report.numerical_rank % 18, 0);  // as many as the space has
  EXPECT_GE(report.numerical_rank, 18);
  EXPECT_GT(report.residual, 0);
  const auto values = Values(a, n, m);
  double rest = 0, total = 0;
  for (size_t k = values.size(); k-- > 0;) (k < 8 ? total : rest) += values[k] * values[k];
  EXPECT_NEAR(report.distance, std::sqrt(rest), 2e-4 * std::sqrt(rest));
  EXPECT_NEAR(report.energy, total / (total + rest), 1e-9);
}

TEST_F(Randomized, HoldsWhatAdmissionGoesBy) {
  constexpr int64_t n = 512, m = 560;
  for (double noise : {1e-12, 1e-4, 1.0}) {  // measured entry by entry; few blocks; many
    const auto a = SignalAndNoise(n, m, 0.7, noise);
    for (double most : {1.0001, 1 + 1e-15}) {  // the exact method after it
      runtime::BufferPool pool;
      WatchingExecutor watching(pool);
      LowRankResult result;
      LowRankProblem<double> problem{1, n, m, a.data(), 16, 1};
      problem.most_over_best = most;
      ASSERT_TRUE(LowRankProjection(watching, pool, problem, result).ok());
      const double results = 8.0 * 16 * (n + 1 + m);
      // The pool rounds blocks up by at most an eighth.
      EXPECT_LE(static_cast<double>(watching.peak()), 9.0 / 8 * (LowRankWorkspaceBytes(problem, 1) + results)) << noise;
    }
  }
}

TEST_F(Randomized, StopsWhenCancelled) {
  cancellation_.Cancel();
  const auto a = SignalAndNoise(60, 50, 0.5, 0);
  const auto found = RandomizedTriplets(executor_, pool_, a.data(), 60, 50, Rule(4));
  EXPECT_EQ(found.status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace attend::compute
