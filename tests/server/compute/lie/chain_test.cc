// Chains whose answers have closed forms, and random ones against plain loops.
#include "server/compute/lie/chain.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "server/compute/lie/mixing_time.h"
#include "server/compute/lie/second_eigenvalue.h"
#include "tests/server/compute/lie/lie_case.h"

namespace attend::compute {
namespace {

constexpr double kUnit = 1.1102230246251565e-16;

size_t At(int64_t i) { return static_cast<size_t>(i); }

// (1 - c) 1 pi + c P for the cyclic shift P (c P = c I with `lazy`): eigenvalues 1 and c times those of P.
Numbers PullToward(const Numbers& pi, double c, bool lazy) {
  const auto n = static_cast<int64_t>(pi.size());
  Numbers s(pi.size() * pi.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) s[At(i * n + j)] = (1 - c) * pi[At(j)];
    s[At(i * n + (lazy ? i : (i + 1) % n))] += c;
  }
  return s;
}

Numbers RandomDistribution(int64_t n, unsigned seed) {
  Numbers pi = RandomStochastic(n, seed);
  pi.resize(At(n));
  return pi;
}

// The same in extended precision, one step after the other.
int64_t MixingTimeByHand(const Numbers& s, const Numbers& pi) {
  const size_t n = pi.size();
  std::vector<long double> power(n * n, 0), next(power);
  for (size_t i = 0; i < n; ++i) power[i * n + i] = 1;
  for (int64_t t = 0;; ++t) {
    long double distance = 0;
    for (size_t i = 0; i < n; ++i) {
      long double sum = 0;
      for (size_t j = 0; j < n; ++j) sum += std::fabs(power[i * n + j] - pi[j]);
      distance = std::max(distance, sum / 2);
    }
    if (distance <= 0.25L) return t;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        long double sum = 0;
        for (size_t k = 0; k < n; ++k) sum += power[i * n + k] * s[k * n + j];
        next[i * n + j] = sum;
      }
    }
    power.swap(next);
  }
}

TEST(Chain, TwoStatesHaveClosedForms) {
  for (const auto& [a, b] : std::vector<std::pair<double, double>>{{0.3, 0.1}, {0.9, 0.8}, {1e-9, 1e-3}, {0.5, 0.5}}) {
    const ChainDiagnostics chain = Diagnose<double>({1 - a, a, b, 1 - b}, 2);
    ASSERT_TRUE(chain.stochastic);
    EXPECT_EQ(chain.closed_classes, 1);
    EXPECT_EQ(chain.period, 1);
    // The rates are read as they stand, but 1 - a carries a's rounding: none off the diagonal.
    EXPECT_NEAR(chain.stationary[0], b / (a + b), 8 * kUnit * b / (a + b));
    EXPECT_NEAR(chain.stationary[1], a / (a + b), 8 * kUnit * a / (a + b));
    EXPECT_NEAR(chain.second_modulus, std::fabs(1 - a - b), 1e-15);
    EXPECT_EQ(chain.mixing, Mixing::kMixes);
    // d(t) = max(a, b) / (a + b) |1 - a - b|^t.
    const double start = std::max(a, b) / (a + b);
    const double step = std::fabs(1 - a - b);
    const int64_t expected =
        step == 0 ? 1 : std::max<int64_t>(1, static_cast<int64_t>(std::ceil(std::log(0.25 / start) / std::log(step))));
    EXPECT_EQ(chain.mixing_time, expected) << a << " " << b;
  }
}

// Detailed balance: pi[i + 1] / pi[i] = up / down, over hundreds of orders of magnitude.
TEST(Chain, BirthAndDeathIsAccurateInEveryEntry) {
  for (const int64_t n : {2, 3, 5, 17, 64, 65, 129}) {
    const double up = 1e-3, down = 0.5;
    Numbers s(At(n * n), 0.0);
    for (int64_t i = 0; i < n; ++i) {
      if (i + 1 < n) s[At(i * n + i + 1)] = up;
      if (i > 0) s[At(i * n + i - 1)] = down;
      s[At(i * n + i)] = 1 - (i + 1 < n ? up : 0) - (i > 0 ? down : 0);
    }
    const ChainDiagnostics chain = Diagnose(s, n);
    if (n == 129) {  // 1e-350 underflows: the smallest entries are subnormal or 0, the others stay
      ASSERT_EQ(chain.stationary.size(), At(n));
    }
    for (int64_t i = 0; i + 1 < n && chain.stationary[At(i + 1)] > 1e-290; ++i) {
      // Each step rounds a handful of times, the normalized row once more.
      EXPECT_NEAR(chain.stationary[At(i + 1)] / chain.stationary[At(i)], up / down, 16 * kUnit * up / down)
          << n << " " << i;
    }
    EXPECT_LE(chain.stationary_residual, 4 * kUnit);
  }
}

TEST(Chain, RandomChainsAgreeWithPlainLoops) {
  for (const int64_t n : {1, 2, 3, 5, 17, 64, 65, 129}) {
    const Numbers s = RandomStochastic(n, static_cast<unsigned>(n));
    const ChainDiagnostics chain = Diagnose(s, n);
    std::vector<long double> pi(At(n), 1.0L / static_cast<long double>(n)), next(pi);
    for (int step = 0; step < 200; ++step) {
      for (int64_t j = 0; j < n; ++j) {
        next[At(j)] = 0;
        for (int64_t i = 0; i < n; ++i) next[At(j)] += pi[At(i)] * s[At(i * n + j)];
      }
      pi = next;
    }
    for (int64_t i = 0; i < n; ++i) {
      // Rows of the input sum to 1 within n roundings only; so far the two differ.
      EXPECT_NEAR(chain.stationary[At(i)], static_cast<double>(pi[At(i)]),
                  400 * static_cast<double>(n) * kUnit / static_cast<double>(n));
    }
    EXPECT_EQ(chain.mixing_time, MixingTimeByHand(s, chain.stationary));
    EXPECT_EQ(chain.eigenvalues.size(), At(n));
    EXPECT_NEAR(std::abs(chain.eigenvalues[0]), 1, 1e-13);
  }
}

TEST(Chain, KnownSpectraAndMixingTimes) {
  for (const int64_t n : {2, 3, 5, 17, 64, 65, 129, 513}) {
    const Numbers pi = RandomDistribution(n, 7);
    const double c = 0.97;
    const ChainDiagnostics chain = Diagnose(PullToward(pi, c, /*lazy=*/true), n);
    for (int64_t i = 0; i < n; ++i) EXPECT_NEAR(chain.stationary[At(i)], pi[At(i)], 1e-13 * pi[At(i)]) << n;
    // The eigenvalue c is multiple but not defective.
    EXPECT_NEAR(chain.second_modulus, c, 1e-12) << n;
    // S^t = c^t I + (1 - c^t) 1 pi: d(t) = c^t (1 - min pi).
    const double start = 1 - *std::min_element(pi.begin(), pi.end());
    EXPECT_EQ(chain.mixing_time, static_cast<int64_t>(std::ceil(std::log(0.25 / start) / std::log(c)))) << n;
  }
}

TEST(Chain, IterationBeyondLapackFindsComplexPairsToItsResidual) {
  const int64_t n = kLargestSpectrum + 1;
  const double c = 0.6;
  const ChainDiagnostics chain = Diagnose(PullToward(RandomDistribution(n, 3), c, /*lazy=*/false), n, 2);
  EXPECT_TRUE(chain.eigenvalues.empty());
  EXPECT_NEAR(chain.second_modulus, c, std::max(1e-9, 10 * chain.second_modulus_residual));
  // A birth-and-death chain with distinct eigenvalues near 1: those of the reflected walk, lazy by half.
  Numbers s(At(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    s[At(i * n + std::max<int64_t>(i - 1, 0))] += 0.25;
    s[At(i * n + std::min(i + 1, n - 1))] += 0.25;
    s[At(i * n + i)] += 0.5;
  }
  const ChainDiagnostics walk = Diagnose(s, n);
  const double exact = 0.5 + 0.5 * std::cos(std::numbers::pi / static_cast<double>(n));
  // Symmetric: the residual is a bound.
  EXPECT_NEAR(walk.second_modulus, exact, walk.second_modulus_residual + 1e-12);
  EXPECT_LE(walk.second_modulus_residual, 1e-4);
}

// Up twice as often as down: far from normal, but in detailed balance, with the eigenvalues of a symmetric matrix.
TEST(Chain, DriftedWalksKeepTheirGap) {
  for (const int64_t n : {2, 3, 5, 17, 64, 65, 129, 200, 513}) {
    Numbers g(At(n * n), 0.0);
    for (int64_t i = 0; i + 1 < n; ++i) {
      g[At(i * n + i + 1)] = 2;
      g[At((i + 1) * n + i)] = 1;
      g[At(i * n + i)] -= 2;
      g[At((i + 1) * n + i + 1)] -= 1;
    }
    const ChainDiagnostics chain = Diagnose(ExpOfGenerator(g, n), n);
    const double exact = std::exp(-(3 - 2 * std::sqrt(2.0) * std::cos(std::numbers::pi / static_cast<double>(n))));
    // The entries of exp(G) have some 100 u of their own.
    EXPECT_NEAR(chain.second_modulus, exact, 100 * kUnit) << n;
    EXPECT_LE(chain.second_modulus_error, 1e-12) << n;
    EXPECT_FALSE(GapUncertain(chain)) << n;
  }
}

// Circulant, so normal: eigenvalues (1 + w^k) / 2, of which 600 crowd towards 1.
TEST(Chain, IterationFindsSmallGaps) {
  const int64_t n = 600;
  Numbers s(At(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) s[At(i * n + i)] = s[At(i * n + (i + 1) % n)] = 0.5;
  const ChainDiagnostics chain = Diagnose(s, n, 2);
  const double gap = 2 * std::pow(std::sin(std::numbers::pi / (2.0 * static_cast<double>(n))), 2);
  // n u, of a gap of 1.4e-5.
  EXPECT_NEAR(1 - chain.second_modulus, gap, static_cast<double>(n) * kUnit);
  EXPECT_GE(chain.second_modulus_error, std::fabs(1 - chain.second_modulus - gap));
  EXPECT_FALSE(GapUncertain(chain));
}

// Between n u, below which nobody can measure a product, and what the eigenvalue's own rounding leaves.
TEST(Chain, ResidualIsThatOfTheChain) {
  const int64_t n = kLargestSpectrum + 1;
  for (const double c : {1e-40, 0.5}) {
    const ChainDiagnostics chain = Diagnose(PullToward(RandomDistribution(n, 3), c, /*lazy=*/true), n);
    EXPECT_GE(chain.second_modulus_residual, static_cast<double>(n) * kUnit) << c;
    EXPECT_LE(chain.second_modulus_residual, 1e-10) << c;
  }
}

TEST(Chain, DefectiveEigenvaluesHaveTheErrorOfSquareRoots) {
  // (1 - c) 1 pi + c I + e u v^T with v^T 1 = v^T u = pi u = 0: a Jordan block of c. Rounding moves it by sqrt(u).
  const double c = 0.4, e = 0.05;
  const double u[] = {1, -1, 0}, v[] = {1, 1, -2};
  Numbers s(9);
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) s[At(i * 3 + j)] = (1 - c) / 3 + (i == j ? c : 0) + e * u[i] * v[j];
  }
  const ChainDiagnostics chain = Diagnose(s, 3);
  EXPECT_NEAR(chain.second_modulus, c, 1e-7);
  EXPECT_GE(chain.second_modulus_error, std::fabs(chain.second_modulus - c));
  EXPECT_GE(chain.second_modulus_error, 1e-9);
  EXPECT_LE(chain.second_modulus_error, 1e-5);
}

// Two halves that hardly ever meet: rounding of the entries alone is as large as the gap.
TEST(Chain, GapsBelowRoundingAreUncertain) {
  for (const int64_t half : {1, 2, 17, 64}) {
    const int64_t n = 2 * half;
    Numbers s(At(n * n));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j)
        s[At(i * n + j)] = ((i < half) == (j < half) ? 1.0 : 1e-15) / static_cast<double>(half);
    }
    const ChainDiagnostics chain = Diagnose(s, n);
    EXPECT_TRUE(GapUncertain(chain)) << n;
    EXPECT_NEAR(1 - chain.second_modulus, 2e-15, chain.second_modulus_error) << n;
  }
  EXPECT_FALSE(GapUncertain(Diagnose<double>({0, 1, 1, 0}, 2)));  // periodic: 1 exactly
}

// The states before the end are a class of their own, without a stationary distribution.
TEST(Chain, DriftBeforeAbsorptionKeepsTheGap) {
  for (const int64_t n : {3, 5, 17, 65, 200, 600}) {
    Numbers s(At(n * n), 0.0);
    s[0] = 1;
    for (int64_t i = 1; i < n; ++i) {
      s[At(i * n + i - 1)] += 0.25;
      s[At(i * n + i)] += 0.25;
      s[At(i * n + (i + 1) % n)] += 0.5;
    }
    const ChainDiagnostics chain = Diagnose(s, n);
    const double exact = 0.25 + 2 * std::sqrt(0.125) * std::cos(std::numbers::pi / static_cast<double>(n));
    EXPECT_NEAR(chain.second_modulus, exact, static_cast<double>(n) * kUnit) << n;
    EXPECT_FALSE(GapUncertain(chain)) << n;
  }
}

TEST(Chain, LazyCycleHasTheRootsOfUnity) {
  for (const int64_t n : {3, 5, 17, 65}) {
    Numbers s(At(n * n), 0.0);
    for (int64_t i = 0; i < n; ++i) s[At(i * n + i)] = s[At(i * n + (i + 1) % n)] = 0.5;
    const ChainDiagnostics chain = Diagnose(s, n);
    EXPECT_NEAR(chain.second_modulus, std::cos(std::numbers::pi / static_cast<double>(n)), 1e-13);
    EXPECT_EQ(chain.period, 1);
    for (const double p : chain.stationary) EXPECT_NEAR(p, 1.0 / static_cast<double>(n), 4 * kUnit);
    EXPECT_EQ(chain.mixing_time, MixingTimeByHand(s, chain.stationary));
  }
}

TEST(Chain, CyclesArePeriodicAndDoNotMix) {
  for (const int64_t n : {2, 3, 5, 17}) {
    Numbers s(At(n * n), 0.0);
    for (int64_t i = 0; i < n; ++i) s[At(i * n + (i + 1) % n)] = 1;
    const ChainDiagnostics chain = Diagnose(s, n);
    EXPECT_EQ(chain.period, n);
    EXPECT_EQ(chain.mixing, Mixing::kPeriodic);
    EXPECT_EQ(chain.second_modulus, 1);
    EXPECT_EQ(chain.mixing_time, 0);
    for (const double p : chain.stationary) EXPECT_NEAR(p, 1.0 / static_cast<double>(n), 2 * kUnit);
  }
}

TEST(Chain, SeveralClosedClassesHaveNoOneStationaryDistribution) {
  const ChainDiagnostics chain = Diagnose<double>({1, 0, 0, 0.5, 0, 0.5, 0, 0, 1}, 3);
  EXPECT_EQ(chain.closed_classes, 2);
  EXPECT_EQ(chain.mixing, Mixing::kReducible);
  EXPECT_TRUE(chain.stationary.empty());
  EXPECT_EQ(chain.second_modulus, 1);
  EXPECT_EQ(chain.period, 0);
}

TEST(Chain, AnAbsorbingStateTakesAll) {
  for (const int64_t n : {2, 3, 5, 17, 64}) {
    // From i to i - 1 with 1/4, else it stays; 0 absorbs.
    Numbers s(At(n * n), 0.0);
    s[0] = 1;
    for (int64_t i = 1; i < n; ++i) s[At(i * n + i - 1)] = 0.25, s[At(i * n + i)] = 0.75;
    const ChainDiagnostics chain = Diagnose(s, n);
    EXPECT_EQ(chain.closed_classes, 1);
    EXPECT_EQ(chain.stationary[0], 1);
    for (int64_t i = 1; i < n; ++i) EXPECT_EQ(chain.stationary[At(i)], 0);
    // Triangular: LAPACK reads the eigenvalues off.
    EXPECT_NEAR(chain.second_modulus, 0.75, 1e-14);
    EXPECT_EQ(chain.mixing_time, MixingTimeByHand(s, chain.stationary));
  }
}

TEST(Chain, OneStateIsWhereItEnds) {
  const ChainDiagnostics chain = Diagnose<double>({1}, 1);
  EXPECT_EQ(chain.mixing, Mixing::kMixes);
  EXPECT_EQ(chain.mixing_time, 0);
  EXPECT_EQ(chain.stationary, Numbers{1});
  EXPECT_EQ(chain.closed_classes, 1);
  EXPECT_EQ(chain.period, 1);
  EXPECT_EQ(chain.second_modulus, 0);
}

TEST(Chain, BeyondTheLimitIsSaid) {
  const double a = 1e-11;
  const ChainDiagnostics chain = Diagnose<double>({1 - a, a, a, 1 - a}, 2);
  EXPECT_EQ(chain.mixing, Mixing::kBeyondLimit);
  EXPECT_EQ(chain.mixing_time, 0);
  EXPECT_NEAR(chain.stationary[0], 0.5, 2 * kUnit);
}

TEST(Chain, WhatIsNoChainIsSaid) {
  EXPECT_FALSE(Diagnose<double>({1.1, -0.1, 0.5, 0.5}, 2).stochastic);
  EXPECT_EQ(Diagnose<double>({1.1, -0.1, 0.5, 0.5}, 2).min_entry, -0.1);
  const ChainDiagnostics zero_row = Diagnose<double>({0, 0, 0.5, 0.5}, 2);
  EXPECT_FALSE(zero_row.stochastic);
  EXPECT_EQ(zero_row.row_sum_error, 1);
  EXPECT_TRUE(zero_row.stationary.empty());
  EXPECT_EQ(Diagnose<double>({}, 0).closed_classes, 0);
}

TEST(Chain, FloatsAreChainsAfterRounding) {
  const int64_t n = 65;
  const Numbers exact = RandomStochastic(n, 5);
  const std::vector<float> rounded(exact.begin(), exact.end());
  const ChainDiagnostics chain = Diagnose(rounded, n);
  ASSERT_TRUE(chain.stochastic);
  const ChainDiagnostics in_double = Diagnose(exact, n);
  EXPECT_NEAR(chain.second_modulus, in_double.second_modulus, 1e-6);
  EXPECT_LE(LargestDifference(chain.stationary, in_double.stationary), 1e-8);
}

TEST(Chain, ThreadsDoNotChangeBits) {
  const int64_t n = 257;
  const Numbers s = RandomStochastic(n, 1);
  const ChainDiagnostics one = Diagnose(s, n, 1), three = Diagnose(s, n, 3);
  EXPECT_EQ(one.stationary, three.stationary);
  EXPECT_EQ(one.second_modulus, three.second_modulus);
  EXPECT_EQ(one.mixing_time, three.mixing_time);
}

TEST(Chain, CancellationIsPolled) {
  runtime::Cancellation cancelled;
  cancelled.Cancel();
  runtime::InlineExecutor executor(cancelled);
  runtime::BufferPool pool;
  std::vector<ChainDiagnostics> chains;
  const Numbers s = RandomStochastic(129, 1);
  EXPECT_TRUE(absl::IsCancelled(DiagnoseChains(executor, pool, 1, 129, s.data(), chains)));
}

}  // namespace
}  // namespace attend::compute
