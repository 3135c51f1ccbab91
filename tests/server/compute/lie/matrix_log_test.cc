// Logarithms against closed forms and against the exponentials that they invert; verdicts on embeddability.
#include "server/compute/lie/matrix_log.h"

#include <Eigen/Eigenvalues>
#include <cmath>
#include <numbers>

#include "tests/server/compute/lie/lie_case.h"

namespace attend::compute {
namespace {

constexpr double kUnit = 1.1102230246251565e-16;

size_t At(int64_t i) { return static_cast<size_t>(i); }

TEST(MatrixLog, TwoStatesHaveAClosedForm) {
  for (const auto& [a, b] : std::vector<std::pair<double, double>>{{0.3, 0.1}, {0.4, 0.55}, {1e-8, 1e-3}}) {
    const LogAnswer<double> answer = LogOf<double>({1 - a, a, b, 1 - b}, 2);
    ASSERT_TRUE(answer.report.exists);
    // log S = -log(1 - a - b) / (a + b) G. 1 - a rounds by one unit, which the determinant divides by.
    const double factor = -std::log1p(-a - b) / (a + b);
    const double tolerance = 16 * kUnit / (1 - a - b) * std::max(1.0, factor);
    EXPECT_LE(LargestDifference(answer.log, {-a * factor, a * factor, b * factor, -b * factor}), tolerance);
    EXPECT_EQ(answer.report.embedding.verdict, Embeddability::kEmbeddable) << answer.report.embedding.reason;
    EXPECT_LE(answer.report.nearest_error, 16 * kUnit);
  }
}

TEST(MatrixLog, InvertsTheExponentialOfGenerators) {
  for (const int64_t n : {1, 2, 3, 5, 17, 64, 65, 129}) {
    for (const double rate : {1e-6, 0.1, 2.0}) {
      const Numbers g = RandomGenerator(n, rate, static_cast<unsigned>(n));
      const Numbers s = ExpOfGenerator(g, n);
      const LogAnswer<double> answer = LogOf(s, n);
      ASSERT_TRUE(answer.report.exists) << answer.report.obstacle;
      // Eigenvalues of S are at least exp(-2 rate): the roundings of S are divided by that.
      const double tolerance = 8 * static_cast<double>(n) * kUnit * std::exp(2 * rate);
      EXPECT_LE(LargestDifference(answer.log, g), tolerance) << n << " " << rate;
      EXPECT_LE(answer.report.residual, 40 * static_cast<double>(n) * kUnit) << n << " " << rate;
      EXPECT_EQ(answer.report.embedding.verdict, Embeddability::kEmbeddable)
          << n << " " << rate << ": " << answer.report.embedding.reason;
      EXPECT_LE(answer.report.nearest_error, 1e-12);
      EXPECT_TRUE(DiagnoseGenerator(Matrix<const double>(answer.nearest.data(), n, n), nullptr).is_generator);
    }
  }
}

TEST(MatrixLog, RotationsTurnIntoAngles) {
  for (const double angle : {1e-9, 0.3, -1.5, 3.0, std::numbers::pi - 1e-6}) {
    const double c = std::cos(angle), s = std::sin(angle);
    const LogAnswer<double> answer = LogOf<double>({c, -s, s, c}, 2);
    ASSERT_TRUE(answer.report.exists);
    EXPECT_LE(LargestDifference(answer.log, {0, -angle, angle, 0}), 16 * kUnit * 4);
    EXPECT_EQ(answer.report.embedding.verdict, Embeddability::kNotStochastic);
  }
}

// log(I + N) = sum (-1)^(k+1) N^k / k for the shift N: a defective eigenvalue.
TEST(MatrixLog, JordanBlocksHaveTheSeriesOfTheLogarithm) {
  for (const int64_t n : {2, 3, 5, 9}) {
    Numbers a(At(n * n), 0.0), expected(At(n * n), 0.0);
    for (int64_t i = 0; i < n; ++i) {
      a[At(i * n + i)] = 1;
      if (i + 1 < n) a[At(i * n + i + 1)] = 1;
      for (int64_t k = 1; i + k < n; ++k)
        expected[At(i * n + i + k)] = (k % 2 == 1 ? 1.0 : -1.0) / static_cast<double>(k);
    }
    const LogAnswer<double> answer = LogOf(a, n);
    // Each of some 6 roots doubles its rounding again on the way back, of powers of N that binomials bring in.
    EXPECT_LE(LargestDifference(answer.log, expected), 1e-13 * std::pow(2.0, static_cast<double>(n))) << n;
  }
}

TEST(MatrixLog, DefinesSymmetricOnesThroughTheirEigenvalues) {
  for (const int64_t n : {1, 3, 5, 17, 64, 65}) {
    std::srand(static_cast<unsigned>(n));
    const Eigen::MatrixXd x = Eigen::MatrixXd::Random(n, n);
    const Eigen::MatrixXd a = x * x.transpose() + 0.1 * Eigen::MatrixXd::Identity(n, n);
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(a);
    const Eigen::MatrixXd expected = solver.eigenvectors() * solver.eigenvalues().array().log().matrix().asDiagonal() *
                                     solver.eigenvectors().transpose();
    const LogAnswer<double> answer = LogOf(Numbers(a.data(), a.data() + a.size()), n);
    const double condition = solver.eigenvalues().maxCoeff() / solver.eigenvalues().minCoeff();
    EXPECT_LE(LargestDifference(answer.log, Numbers(expected.data(), expected.data() + n * n)),
              16 * static_cast<double>(n) * kUnit * condition)
        << n;
  }
}

TEST(MatrixLog, BadlyScaledDiagonalsKeepTheirDigits) {
  const LogAnswer<double> answer = LogOf<double>({1e150, 1, 0, 1e140}, 2);
  ASSERT_TRUE(answer.report.exists);
  EXPECT_NEAR(answer.log[0], std::log(1e150), 1e-13);
  EXPECT_NEAR(answer.log[3], std::log(1e140), 1e-13);
  const double expected = (std::log(1e150) - std::log(1e140)) / (1e150 - 1e140);
  EXPECT_NEAR(answer.log[1], expected, 1e-13 * expected);
}

TEST(MatrixLog, WhatHasNoneSaysSoAndIsNoNumber) {
  for (const Numbers& a : {Numbers{-1, 0, 0, 2}, Numbers{0, 0, 0, 0}, Numbers{1, 2, 2, 4}}) {
    const LogAnswer<double> answer = LogOf(a, 2);
    EXPECT_FALSE(answer.report.exists);
    EXPECT_FALSE(answer.report.obstacle.empty());
    for (const double entry : answer.log) EXPECT_TRUE(std::isnan(entry));
  }
}

TEST(MatrixLog, FloatsAreComputedInDouble) {
  const int64_t n = 17;
  const Numbers g = RandomGenerator(n, 1, 2);
  const Numbers s = ExpOfGenerator(g, n);
  const LogAnswer<float> answer = LogOf(std::vector<float>(s.begin(), s.end()), n);
  const std::vector<float> expected(g.begin(), g.end());
  // The rounding of S, 6e-8 of entries up to 1, over eigenvalues of at least exp(-2).
  EXPECT_LE(LargestDifference(answer.log, expected), 6e-8 * std::exp(2.0) * 4);
  EXPECT_EQ(answer.report.embedding.verdict, Embeddability::kEmbeddable) << answer.report.embedding.reason;
}

TEST(MatrixLog, ThreadsDoNotChangeBits) {
  const int64_t n = 150;
  const Numbers s = ExpOfGenerator(RandomGenerator(n, 1, 4), n);
  EXPECT_EQ(LogOf(s, n, 1).log, LogOf(s, n, 3).log);
}

TEST(MatrixLog, EmptyMatricesHaveEmptyLogarithms) { EXPECT_TRUE(LogOf<double>({}, 0).log.empty()); }

// Rows of floats sum to 1 within rounding only, and eigenvalues move by it: no verdict hangs on that.
TEST(Embedding, RoundingToFloatsViolatesNothing) {
  for (const int64_t n : {3, 5, 17, 64, 65, 129}) {
    for (const double rate : {0.1, 1.0, 4.0}) {
      const Numbers s = ExpOfGenerator(RandomGenerator(n, rate, static_cast<unsigned>(n)), n);
      const MatrixLogReport report = LogOf(std::vector<float>(s.begin(), s.end()), n).report;
      EXPECT_NE(report.embedding.verdict, Embeddability::kNotEmbeddable) << n << " " << rate << report.embedding.reason;
      EXPECT_NE(report.embedding.verdict, Embeddability::kNotStochastic) << n << " " << rate;
    }
  }
}

struct VerdictCase {
  const char* name;
  int64_t n;
  Numbers s;
  Embeddability verdict;
  const char* reason;  // a part of it
};

TEST(Embedding, VerdictsAndTheirReasons) {
  const double e = 1e-6;
  const std::vector<VerdictCase> cases = {
      {"equal rows", 2, {0.5, 0.5, 0.5, 0.5}, Embeddability::kUndecided, "equal"},
      {"singular but for rounding",
       3,
       {0.5, 0.3, 0.2, 0.1, 0.5, 0.4, 0.3, 0.4, 0.3},
       Embeddability::kUndecided,
       "working precision"},
      {"a negative eigenvalue beside 0",
       3,
       {0.1, 0.45, 0.45, 0.8, 0.1, 0.1, 0.8, 0.1, 0.1},
       Embeddability::kNotEmbeddable,
       "Elfving"},
      {"negative determinant", 2, {0.4, 0.6, 0.6, 0.4}, Embeddability::kNotEmbeddable, "Kingman"},
      {"zero on the diagonal", 2, {0, 1, 0.5, 0.5}, Embeddability::kNotEmbeddable, "diagonal"},
      {"one step only", 3, {0.9, 0.1, 0, 0.1, 0.8, 0.1, 0, 0.1, 0.9}, Embeddability::kNotEmbeddable, "through"},
      {"almost one step",
       3,
       {0.9 - e, 0.1, e, 0.1, 0.8, 0.1, e, 0.1, 0.9 - e},
       Embeddability::kNotEmbeddable,
       "only candidate"},
      // Circulant: 0.4 + 0.55 w + 0.05 w^2 has argument 2.1 and modulus 0.44 > exp(-2.1 sqrt 3).
      {"almost a cycle",
       3,
       {0.4, 0.55, 0.05, 0.05, 0.4, 0.55, 0.55, 0.05, 0.4},
       Embeddability::kNotEmbeddable,
       "Runnenberg"},
      {"one state", 1, {1}, Embeddability::kEmbeddable, "generator"},
      {"identity", 3, {1, 0, 0, 0, 1, 0, 0, 0, 1}, Embeddability::kEmbeddable, "generator"},
      {"absorbing", 2, {1, 0, 0.3, 0.7}, Embeddability::kEmbeddable, "generator"},
      {"no chain", 2, {2, 0, 0, 2}, Embeddability::kNotStochastic, "row-stochastic"},
  };
  for (const VerdictCase& c : cases) {
    const MatrixLogReport report = LogOf(c.s, c.n).report;
    EXPECT_EQ(report.embedding.verdict, c.verdict) << c.name << ": " << report.embedding.reason;
    EXPECT_NE(report.embedding.reason.find(c.reason), std::string::npos) << c.name << ": " << report.embedding.reason;
  }
}

// exp(4 (P - I)) for the cycle P of three: eigenvalues beyond the principal strip. Its principal logarithm is another
// generator of the same chain.
TEST(Embedding, AnotherBranchMayServeAsWell) {
  const Numbers g = {-4, 4, 0, 0, -4, 4, 4, 0, -4};
  const Numbers s = ExpOfGenerator(g, 3);
  const LogAnswer<double> answer = LogOf(s, 3);
  EXPECT_EQ(answer.report.embedding.verdict, Embeddability::kEmbeddable) << answer.report.embedding.reason;
  EXPECT_GT(LargestDifference(answer.log, g), 1);
  EXPECT_LE(answer.report.nearest_error, 1e-12);
}

// Symmetric circulant with the eigenvalue -0.05 twice: the principal logarithm does not exist, others do.
TEST(Embedding, PairsOfNegativeEigenvaluesAreUndecided) {
  const double b = 0.35, a = 0.3;
  const MatrixLogReport report = LogOf<double>({a, b, b, b, a, b, b, b, a}, 3).report;
  EXPECT_FALSE(report.exists);
  EXPECT_EQ(report.embedding.verdict, Embeddability::kUndecided) << report.embedding.reason;
}

// Sparse rates over many magnitudes, cycles among them, whose exponentials are nearly singular or have eigenvalues near
// the negative axis. Rounded to T, and once more by a unit either way.
template <typename T>
void ExpectNeverDenied(std::mt19937& random, int64_t n, double rate, bool cycle) {
  std::uniform_real_distribution<double> uniform(0, 1);
  Numbers g(At(n * n), 0.0);
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      const bool next = j == (i + 1) % n;
      if (i == j || (cycle && !next) || (!next && uniform(random) < 0.4)) continue;
      sum += g[At(i * n + j)] = cycle ? rate : rate * std::pow(10, -3 * uniform(random));
    }
    g[At(i * n + i)] = -sum;
  }
  const Numbers s = ExpOfGenerator(g, n);
  std::vector<T> rounded(s.begin(), s.end());
  for (int perturbed = 0; perturbed < 3; ++perturbed) {
    const MatrixLogReport report = LogOf(rounded, n).report;
    EXPECT_NE(report.embedding.verdict, Embeddability::kNotEmbeddable)
        << "n " << n << " rate " << rate << " cycle " << cycle << ": " << report.embedding.reason;
    for (T& x : rounded) {
      if (x > 0) x = std::nextafter(x, uniform(random) < 0.5 ? T{0} : T{1});
    }
  }
}

TEST(Embedding, ExponentialsOfGeneratorsAreNeverDenied) {
  std::mt19937 random(5);
  for (const int64_t n : {2, 3, 4, 5, 6, 9}) {
    for (const double rate : {0.01, 0.3, 1.0, 3.0, 8.0, 20.0, 60.0, 300.0}) {
      for (int draw = 0; draw < 4; ++draw) {
        ExpectNeverDenied<double>(random, n, rate, draw == 0);
        ExpectNeverDenied<float>(random, n, rate, draw == 0);
      }
    }
  }
}

// What mixed for long is uniform to rounding, and nothing can be told of it.
TEST(Embedding, RoundingThatHidesTheAnswerIsSaid) {
  const Numbers s = ExpOfGenerator(RandomGenerator(5, 34, 3), 5);
  const MatrixLogReport report = LogOf(s, 5).report;
  EXPECT_NE(report.embedding.verdict, Embeddability::kNotStochastic);
  EXPECT_NE(report.embedding.verdict, Embeddability::kEmbeddable) << report.embedding.reason;
}

}  // namespace
}  // namespace attend::compute
