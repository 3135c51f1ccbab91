// Matrices of the kinds that break exponentials, drawn at random, against quadruple precision.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/server/compute/matrix_exp/exponentiate.h"

namespace attend::compute {
namespace {

using Random = std::mt19937;

double Uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

// X diag(values) X^-1 of a 2 x 2 X with a small determinant: close eigenvectors, as Moler and Van Loan's.
std::vector<double> CloseEigenvectors(Random& random) {
  const double a = std::round(Uniform(random, 2, 6));
  const double x[4] = {a, a + 1, a + 1, a + 2};  // determinant -1
  const double low = -std::round(Uniform(random, 5, 25));
  const double high = std::round(Uniform(random, -3, 1));
  const double inverse[4] = {-x[3], x[1], x[2], -x[0]};
  std::vector<double> result(4);
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) result[i * 2 + j] = x[i * 2] * low * inverse[j] + x[i * 2 + 1] * high * inverse[2 + j];
  }
  return result;
}

// As Ward's third: large entries that nearly cancel, eigenvalues below zero.
std::vector<double> NearlyCancelling(Random& random) {
  const double u[3] = {1, Uniform(random, 2, 4), Uniform(random, 2, 4)};
  const double v[3] = {-Uniform(random, 80, 150), Uniform(random, 10, 25), Uniform(random, 10, 25)};
  std::vector<double> result(9);
  for (int k = 0; k < 9; ++k) result[k] = std::round(u[k / 3] * v[k % 3]) + (k % 4 == 0 ? -1 : 0);
  return result;
}

// Moderate entries times d_i / d_j.
std::vector<double> BadlyScaled(Random& random) {
  double d[3];
  for (double& each : d) each = std::pow(10, Uniform(random, -5, 5));
  std::vector<double> result(9);
  for (int k = 0; k < 9; ++k) result[k] = Uniform(random, -2, 2) * d[k / 3] / d[k % 3];
  return result;
}

// [[x, -x / c], [c x, -x]]: its square is zero but for rounding.
std::vector<double> Nilpotent(Random& random) {
  const double x = std::ldexp(1.0, static_cast<int>(Uniform(random, 0, 20)));
  const double c = std::ldexp(1.0, static_cast<int>(Uniform(random, -4, 4)));
  return {x, -x / c, c * x, -x};
}

// A norm far above the eigenvalues.
std::vector<double> Overscaling(Random& random) {
  return {Uniform(random, 0, 2), std::pow(10, Uniform(random, 3, 8)), 0, -Uniform(random, 0, 2)};
}

// Rates over nine orders of magnitude, not quite a generator.
std::vector<double> Stiff(Random& random) {
  std::vector<double> result(9);
  for (int i = 0; i < 3; ++i) {
    double sum = 0;
    for (int j = 0; j < 3; ++j) {
      if (i == j) continue;
      result[i * 3 + j] = std::pow(10, Uniform(random, -6, 3)) * (j > i ? 1 : -1);
      sum += std::fabs(result[i * 3 + j]);
    }
    result[i * 3 + i] = -sum;
  }
  return result;
}

std::vector<double> Dense(Random& random) {
  std::vector<double> result(9);
  const double scale = std::pow(10, Uniform(random, -3, 1.5));
  for (double& x : result) x = scale * Uniform(random, -1, 1);
  return result;
}

struct Kind {
  std::string name;
  std::function<std::vector<double>(Random&)> draw;
};

const std::vector<Kind>& Kinds() {
  static const auto& kinds = *new std::vector<Kind>{{"close eigenvectors", CloseEigenvectors},
                                                    {"nearly cancelling", NearlyCancelling},
                                                    {"badly scaled", BadlyScaled},
                                                    {"nilpotent", Nilpotent},
                                                    {"overscaling", Overscaling},
                                                    {"stiff", Stiff},
                                                    {"dense", Dense}};
  return kinds;
}

// |A| / |exp A| times the largest |L(A, E)| over the E of one entry: at most the condition number in the 1-norm. The
// derivative is the upper right block of exp [[A, E], [0, A]].
double ConditionFromBelow(int64_t n, const std::vector<double>& a, const QuadMatrix& exponential) {
  double largest = 0;
  for (int64_t entry = 0; entry < n * n; ++entry) {
    QuadMatrix both(static_cast<size_t>(4 * n * n), 0);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        both[i * 2 * n + j] = both[(i + n) * 2 * n + j + n] = a[i * n + j];
      }
    }
    both[entry / n * 2 * n + n + entry % n] = 1;
    const QuadMatrix all = QuadExp(2 * n, both, 0);
    QuadMatrix derivative(static_cast<size_t>(n * n));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) derivative[i * n + j] = all[i * 2 * n + n + j];
    }
    largest = std::max(largest, NormOne(n, derivative));
  }
  return largest * NormOne(n, a) / NormOne(n, exponential);
}

int64_t SizeOfMatrix(const std::vector<double>& a) { return a.size() == 4 ? 2 : 3; }

TEST(MatrixExpKinds, AreAsAccurateAsTheirConditionAllows) {
  Random random(20);
  for (const Kind& kind : Kinds()) {
    for (int draw = 0; draw < 40; ++draw) {
      const std::vector<double> a = kind.draw(random);
      const int64_t n = SizeOfMatrix(a);
      const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
      const Outcome<double> outcome = Exponentiate(n, a, {1.0}, MatrixStructure::kGeneral);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const double error = RelativeError(n, outcome.result.data(), expected);
      const double condition = ConditionFromBelow(n, a, expected);
      // The contract's 10 condition numbers; 1e-15 where that is less.
      EXPECT_LE(error, std::max(1e-15, 10 * condition * 1.1e-16)) << kind.name << " " << draw;
    }
  }
}

TEST(MatrixExpKinds, BoundsHoldAndAreMostlyNear) {
  Random random(21);
  int near = 0;
  int all = 0;
  for (const Kind& kind : Kinds()) {
    for (int draw = 0; draw < 200; ++draw) {
      const std::vector<double> a = kind.draw(random);
      const int64_t n = SizeOfMatrix(a);
      const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
      const Outcome<double> outcome = Exponentiate(n, a, {1.0}, MatrixStructure::kGeneral);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const double error = RelativeError(n, outcome.result.data(), expected);
      const double bound = outcome.reports[0].error_bound;
      EXPECT_LE(error, bound) << kind.name << " " << draw;
      // An error below a unit of roundoff is luck, and no bound foresees it.
      near += bound <= 1000 * std::max(error, 1.1e-16);
      ++all;
    }
  }
  EXPECT_GE(near, 0.8 * all);
}

TEST(MatrixExpKinds, BoundsHoldInFloat) {
  Random random(22);
  for (const Kind& kind : Kinds()) {
    for (int draw = 0; draw < 100; ++draw) {
      const std::vector<double> wide = kind.draw(random);
      const std::vector<float> a(wide.begin(), wide.end());
      const int64_t n = SizeOfMatrix(wide);
      const Outcome<float> outcome = Exponentiate(n, a, {1.0}, MatrixStructure::kGeneral);
      if (!outcome.status.ok()) {
        EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange);
        continue;
      }
      const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
      EXPECT_LE(RelativeError(n, outcome.result.data(), expected), outcome.reports[0].error_bound)
          << kind.name << " " << draw;
    }
  }
}

TEST(MatrixExpKinds, LargerMatricesStayWithinTheirBounds) {
  Random random(23);
  int near = 0;
  int all = 0;
  for (int64_t n : {5, 8, 9, 16, 17, 33}) {
    for (double norm : {0.01, 1.0, 4.0, 30.0, 100.0}) {
      std::vector<double> a(static_cast<size_t>(n * n));
      for (double& x : a) x = Uniform(random, -1, 1);
      const double scale = norm / NormOne(n, a);
      for (double& x : a) x *= scale;
      const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
      const Outcome<double> outcome = Exponentiate(n, a);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const double error = RelativeError(n, outcome.result.data(), expected);
      EXPECT_LE(error, outcome.reports[0].error_bound) << n << " " << norm;
      near += outcome.reports[0].error_bound <= 1000 * std::max(error, 1.1e-16);
      ++all;
    }
  }
  EXPECT_GE(near, 0.8 * all);
}

// u v^T with v at right angles to u, but for rounding: entries of all digits whose square is what rounding leaves.
template <typename T>
std::vector<T> NilpotentOfRankOne(Random& random, int64_t n, double norm) {
  std::vector<double> u(static_cast<size_t>(n)), v(u.size()), a(u.size() * u.size());
  double product = 0;
  double square = 0;
  for (size_t i = 0; i < u.size(); ++i) {
    u[i] = Uniform(random, -1, 1);
    v[i] = Uniform(random, -1, 1);
    product += u[i] * v[i];
    square += u[i] * u[i];
  }
  for (size_t i = 0; i < v.size(); ++i) v[i] -= product / square * u[i];
  for (size_t k = 0; k < a.size(); ++k) a[k] = u[k / u.size()] * v[k % u.size()];
  const double scale = norm / NormOne(n, a);
  std::vector<T> result(a.size());
  for (size_t k = 0; k < a.size(); ++k) result[k] = static_cast<T>(a[k] * scale);
  return result;
}

template <typename T>
void ExpectBoundHolds(int64_t n, const std::vector<T>& a) {
  const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
  const Outcome<T> outcome = Exponentiate(n, a, {1.0}, MatrixStructure::kGeneral);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const double error = RelativeError(n, outcome.result.data(), expected);
  EXPECT_LE(error, outcome.reports[0].error_bound) << n << " norm " << NormOne(n, a);
  const double unit = std::numeric_limits<T>::epsilon() / 2;
  EXPECT_LE(outcome.reports[0].error_bound, 1000 * static_cast<double>(n) * std::max(error, unit))
      << n << " norm " << NormOne(n, a) << " degree " << outcome.reports[0].degree << " squarings "
      << outcome.reports[0].squarings << " products " << outcome.reports[0].products;
}

TEST(MatrixExpKinds, BoundsCoverPowersThatCancel) {
  for (double scale : {1.0, 10.0, 1e2, 1e4, 1e6}) {
    const double s = 1.0001 * scale;
    ExpectBoundHolds<double>(2, {3 * 7.1 * s, -9 * s, 7.1 * 7.1 * s, -3 * 7.1 * s});
  }
  Random random(24);
  for (int64_t n : {2, 3, 5, 17, 65}) {
    for (double norm : {10.0, 300.0, 2500.0}) ExpectBoundHolds(n, NilpotentOfRankOne<double>(random, n, norm));
    for (double norm : {10.0, 300.0, 1450.0}) ExpectBoundHolds(n, NilpotentOfRankOne<float>(random, n, norm));
  }
  ExpectBoundHolds(129, NilpotentOfRankOne<double>(random, 129, 2500));
}

// exp of a nilpotent a with entries of few digits times `unit`: the sum of n terms, whose powers are exact. T's result
// is within 10 units of its norm: each term rounds twice for its coefficient, a sum of n of them n times.
template <typename T>
void ExpectSeriesEnds(int64_t n, const std::vector<double>& small, double unit) {
  std::vector<T> a(small.size());
  for (size_t k = 0; k < a.size(); ++k) a[k] = static_cast<T>(small[k] * unit);
  const QuadMatrix once = ToQuad(a.data(), n, 1);
  QuadMatrix term(a.size(), 0);
  for (int64_t i = 0; i < n; ++i) term[i * n + i] = 1;
  QuadMatrix expected = term;
  for (int64_t k = 1; k < n; ++k) {
    term = QuadProduct(n, term, once);
    for (size_t i = 0; i < a.size(); ++i) expected[i] += term[i] /= static_cast<Quad>(k);
  }
  const Outcome<T> outcome = Exponentiate(n, a);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status << " unit " << unit;
  constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;
  const double error = RelativeError(n, outcome.result.data(), expected);
  EXPECT_LE(error, 10 * kUnit) << "unit " << unit;
  EXPECT_LE(error, outcome.reports[0].error_bound) << "unit " << unit;
  EXPECT_LE(outcome.reports[0].error_bound, 100 * kUnit) << "unit " << unit;
}

TEST(MatrixExpKinds, ASeriesEndsWhereAPowerIsZero) {
  const std::vector<double> square = {1, -1, 1, -1};
  const std::vector<double> cube = {1, 1, 3, 5, 2, 6, -2, -1, -3};
  const std::vector<double> fifth = {1, -3, -1, -2, 3,  -1, 1, 1,  1, -1, -2, 5, 2,
                                     3, -3, 2,  -5, -2, -3, 4, -1, 1, 1,  1,  -1};
  for (double unit : {1.0, 3e5, 1.1e15, 7e14, 0x1p60, 0x1p400, 0x1p900}) ExpectSeriesEnds<double>(2, square, unit);
  for (double unit : {1.0, 3e5, 1.1e15, 0x1p60, 0x1p400, 0x1p500}) ExpectSeriesEnds<double>(3, cube, unit);
  for (double unit : {1.0, 3e5, 7e13, 0x1p60, 0x1p200, 0x1p240}) ExpectSeriesEnds<double>(5, fifth, unit);
  for (double unit : {1.0, 1.1e5, 0x1p60, 0x1p120}) ExpectSeriesEnds<float>(2, square, unit);
  for (double unit : {1.0, 3e5, 0x1p40}) ExpectSeriesEnds<float>(3, cube, unit);
}

// Entries of exp(D A D^-1), D = diag(2^d): those of exp(A) times 2^(d_i - d_j), so that all are known to A's own
// accuracy. What lies below double's range is lost beside the others.
TEST(MatrixExpKinds, ScalingOverTheWholeRangeCostsNothing) {
  Random random(26);
  for (int64_t n : {2, 3, 5, 17}) {
    for (int reach : {10, 70, 250, 500, 509}) {
      std::vector<double> a = Normal<double>(n, 1.0, static_cast<uint32_t>(n + reach));
      const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
      std::vector<int> d(static_cast<size_t>(n));
      for (int& each : d) each = static_cast<int>(std::lround(Uniform(random, -reach, reach)));
      d[0] = reach;
      d[1] = -reach;
      for (int64_t k = 0; k < n * n; ++k) a[k] = std::ldexp(a[k], d[k / n] - d[k % n]);
      const Outcome<double> outcome = Exponentiate(n, a);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      double worst = 0;
      for (int64_t k = 0; k < n * n; ++k) {
        const int shift = d[k / n] - d[k % n];
        if (shift < -1000) continue;
        const Quad error = static_cast<Quad>(std::ldexp(outcome.result[k], -shift)) - expected[k];
        worst = std::max(worst, std::fabs(static_cast<double>(error)));
      }
      // Balanced exponents are not d to the bit; a few units of the norm of a balanced matrix, about 2 sqrt(n).
      EXPECT_LE(worst / NormOne(n, expected), 64 * 1.1e-16) << n << " reach " << reach;
      EXPECT_LE(outcome.reports[0].error_bound, 1e-11) << n << " reach " << reach;
    }
  }
}

// H B H with reflections H, B of 2 x 2 blocks: frequencies from `frequency` on, `gap` of it apart. Rounded to double.
std::vector<double> ClusteredSkew(Random& random, int64_t n, double frequency, double gap) {
  std::vector<long double> a(static_cast<size_t>(n * n), 0);
  for (int64_t i = 0; i + 1 < n; i += 2) {
    a[i * n + i + 1] = frequency * (1 + gap * static_cast<long double>(i));
    a[(i + 1) * n + i] = -a[i * n + i + 1];
  }
  for (int reflection = 0; reflection < 8; ++reflection) {
    std::vector<long double> v(static_cast<size_t>(n)), right(v.size(), 0), left(v.size(), 0);
    long double square = 0, both = 0;
    for (long double& x : v) x = Uniform(random, -1, 1), square += x * x;
    for (int64_t k = 0; k < n * n; ++k) right[k / n] += a[k] * v[k % n], left[k % n] += v[k / n] * a[k];
    for (int64_t i = 0; i < n; ++i) both += v[i] * right[i];
    for (int64_t k = 0; k < n * n; ++k) {
      a[k] += -2 / square * (v[k / n] * left[k % n] + right[k / n] * v[k % n]) +
              4 / (square * square) * v[k / n] * both * v[k % n];
    }
  }
  std::vector<double> result(a.size());
  for (int64_t k = 0; k < n * n; ++k) result[k] = static_cast<double>(k / n > k % n ? a[k] : -a[k % n * n + k / n]);
  for (int64_t i = 0; i < n; ++i) result[i * n + i] = 0;
  return result;
}

TEST(MatrixExpKinds, BoundsCoverClustersOfFrequencies) {
  Random random(27);
  for (int64_t n : {6, 17, 33, 65}) {
    for (double frequency : {1.0, 30.0, 300.0}) {
      for (double gap : {1e-12, 1e-9, 1e-7}) {
        const std::vector<double> a = ClusteredSkew(random, n, frequency, gap);
        const Outcome<double> outcome = Exponentiate(n, a);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        ASSERT_EQ(outcome.reports[0].structure, MatrixStructure::kSkewSymmetric);
        const double error = RelativeError(n, outcome.result.data(), QuadExp(n, ToQuad(a.data(), n, 1), 0));
        const double bound = outcome.reports[0].error_bound;
        EXPECT_LE(error, bound) << n << " " << frequency << " " << gap;
        EXPECT_LE(bound, 1000 * error) << n << " " << frequency << " " << gap;
      }
    }
  }
}

// Q T Q with a reflection Q and a triangular T whose superdiagonal is far larger than its eigenvalues, rounded to
// double.
std::vector<double> RotatedTriangular(Random& random, int64_t n, double superdiagonal, double diagonal) {
  std::vector<long double> t(static_cast<size_t>(n * n), 0), v(static_cast<size_t>(n)), right(v), left(v);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) t[i * n + j] = Uniform(random, -1, 1) * (i == j ? diagonal : 1);
    if (i + 1 < n) t[i * n + i + 1] = superdiagonal;
  }
  long double square = 0, both = 0;
  for (long double& x : v) x = Uniform(random, 0.2, 1), square += x * x;
  for (int64_t k = 0; k < n * n; ++k) right[k / n] += t[k] * v[k % n], left[k % n] += v[k / n] * t[k];
  for (int64_t i = 0; i < n; ++i) both += v[i] * right[i];
  std::vector<double> result(t.size());
  for (int64_t k = 0; k < n * n; ++k) {
    result[k] = static_cast<double>(t[k] - 2 / square * (v[k / n] * left[k % n] + right[k / n] * v[k % n]) +
                                    4 / (square * square) * v[k / n] * both * v[k % n]);
  }
  return result;
}

TEST(MatrixExpKinds, BoundsHoldForRotatedTriangularMatrices) {
  Random random(28);
  for (int64_t n : {2, 3, 4, 6}) {
    for (double superdiagonal : {1e2, 1e4, 1e6}) {
      if (n == 6 && superdiagonal > 1e4) continue;  // more than the oracle has digits for
      for (double diagonal : {0.0, 1.0, 5.0}) {
        const std::vector<double> a = RotatedTriangular(random, n, superdiagonal, diagonal);
        const Outcome<double> outcome = Exponentiate(n, a);
        if (absl::IsOutOfRange(outcome.status)) continue;
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        const double error = RelativeError(n, outcome.result.data(), QuadExp(n, ToQuad(a.data(), n, 1), 0));
        EXPECT_LE(error, outcome.reports[0].error_bound) << n << " " << superdiagonal << " " << diagonal;
        // Doubles would lose all digits at the next superdiagonal; what pairs of them lose is far less.
        if (n <= 3 && superdiagonal <= 1e4) {
          EXPECT_LE(error, 1e-7) << n << " " << superdiagonal << " " << diagonal;
          EXPECT_LE(outcome.reports[0].error_bound, 1e-6) << n << " " << superdiagonal << " " << diagonal;
        }
      }
    }
  }
}

}  // namespace
}  // namespace attend::compute
