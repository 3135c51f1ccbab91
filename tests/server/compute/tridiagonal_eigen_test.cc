#include "server/compute/tridiagonal_eigen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <random>
#include <vector>

#include "server/compute/gemm.h"
#include "tests/server/compute/cancelling_executor.h"
#include "tests/server/compute/thread_executor.h"
#include "tests/server/compute/watching_executor.h"

namespace attend::compute {
namespace {

constexpr double kUnit = 1.1e-16;

struct Tridiagonal {
  std::vector<double> diagonal;
  std::vector<double> beside;  // [n], the last unused

  int64_t n() const { return static_cast<int64_t>(diagonal.size()); }
};

struct Eigen {
  std::vector<double> values;
  std::vector<double> vectors;
};

Eigen Decompose(runtime::Executor& executor, const Tridiagonal& t) {
  runtime::BufferPool pool;
  Eigen eigen{t.diagonal, std::vector<double>(t.diagonal.size() * t.diagonal.size())};
  std::vector<double> beside = t.beside;
  const absl::Status done =
      TridiagonalEigen(executor, pool, t.n(), eigen.values.data(), beside.data(), eigen.vectors.data());
  EXPECT_TRUE(done.ok()) << done;
  return eigen;
}

Eigen Decompose(const Tridiagonal& t) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  return Decompose(executor, t);
}

double Norm(const Tridiagonal& t) {
  double norm = 0;
  for (int64_t i = 0; i < t.n(); ++i) {
    const double left = i > 0 ? std::fabs(t.beside[i - 1]) : 0;
    const double right = i + 1 < t.n() ? std::fabs(t.beside[i]) : 0;
    norm = std::max(norm, left + std::fabs(t.diagonal[i]) + right);
  }
  return norm;
}

// max |T v - value v| over all vectors, in extended precision.
double WorstResidual(const Tridiagonal& t, const Eigen& eigen) {
  const int64_t n = t.n();
  long double worst = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double* v = eigen.vectors.data() + k * n;
    for (int64_t i = 0; i < n; ++i) {
      long double image = (static_cast<long double>(t.diagonal[i]) - eigen.values[k]) * v[i];
      if (i > 0) image += static_cast<long double>(t.beside[i - 1]) * v[i - 1];
      if (i + 1 < n) image += static_cast<long double>(t.beside[i]) * v[i + 1];
      worst = std::max(worst, std::fabs(image));
    }
  }
  return static_cast<double>(worst);
}

double WorstDot(int64_t n, const std::vector<double>& vectors) {
  std::vector<double> dots(vectors.size());
  const Operand<double> v(vectors.data(), n, n, n);
  EXPECT_TRUE(Gemm(1.0, v, Transposed(v), 0.0, Matrix<double>(dots.data(), n, n)).ok());
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) worst = std::max(worst, std::fabs(dots[i * n + j] - (i == j ? 1 : 0)));
  }
  return worst;
}

// Gu and Eisenstat 1995: backward stable and orthogonal within a modest multiple of n units of roundoff; 4 and what the
// products of the check round (n u at most).
void ExpectSolved(const Tridiagonal& t, const char* what) {
  const auto n = static_cast<double>(t.n());
  const Eigen eigen = Decompose(t);
  EXPECT_TRUE(std::is_sorted(eigen.values.begin(), eigen.values.end())) << what << " " << n;
  EXPECT_LE(WorstResidual(t, eigen), 4 * n * kUnit * Norm(t)) << what << " " << n;
  EXPECT_LE(WorstDot(t.n(), eigen.vectors), (4 + n) * kUnit + 4 * n * kUnit) << what << " " << n;
}

Tridiagonal Constant(int64_t n, double diagonal, double beside) {
  const auto size = static_cast<size_t>(n);
  return {std::vector<double>(size, diagonal), std::vector<double>(size, beside)};
}

Tridiagonal Random(int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<double> normal;
  Tridiagonal t = Constant(n, 0, 0);
  for (int64_t i = 0; i < n; ++i) {
    t.diagonal[i] = normal(random);
    t.beside[i] = normal(random);
  }
  return t;
}

// Pairs of eigenvalues that agree to many digits.
Tridiagonal Wilkinson(int64_t n) {
  Tridiagonal t = Constant(n, 0, 1);
  for (int64_t i = 0; i < n; ++i) t.diagonal[i] = std::fabs(static_cast<double>(i) - static_cast<double>(n - 1) / 2);
  return t;
}

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 24, 25, 26, 48, 49, 64, 65, 129, 255, 256, 257, 513};

TEST(TridiagonalEigen, SolvesRandomMatrices) {
  for (int64_t n : kSizes) ExpectSolved(Random(n), "random");
  ExpectSolved(Random(1000), "random");
}

TEST(TridiagonalEigen, SolvesWilkinsonsMatrices) {
  for (int64_t n : kSizes) ExpectSolved(Wilkinson(n), "Wilkinson");
}

TEST(TridiagonalEigen, SolvesGluedWilkinsonMatrices) {
  for (double glue : {1e-3, 1e-8, 1e-14, 1e-17}) {
    Tridiagonal t = Constant(0, 0, 0);
    for (int copy = 0; copy < 30; ++copy) {
      const Tridiagonal w = Wilkinson(21);
      t.diagonal.insert(t.diagonal.end(), w.diagonal.begin(), w.diagonal.end());
      t.beside.insert(t.beside.end(), w.beside.begin(), w.beside.end());
      t.beside.back() = glue;
    }
    ExpectSolved(t, "glued");
  }
}

TEST(TridiagonalEigen, SolvesClusters) {
  for (int64_t n : kSizes) {
    for (double spread : {1e-4, 1e-10, 1e-15, 1e-18}) {
      Tridiagonal t = Random(n);
      for (int64_t i = 0; i < n; ++i) {
        t.diagonal[i] = 1 + spread * t.diagonal[i];
        t.beside[i] *= spread;
      }
      ExpectSolved(t, "cluster");
    }
  }
}

TEST(TridiagonalEigen, SolvesEqualEigenvalues) {
  for (int64_t n : kSizes) {
    ExpectSolved(Constant(n, 0, 0), "zero");
    ExpectSolved(Constant(n, 3, 0), "multiple of the identity");
    Tridiagonal pairs = Constant(n, 1, 0);  // of [1, 1; 1, 1]: 0 and 2 many times
    for (int64_t i = 0; i + 1 < n; i += 2) pairs.beside[i] = 1;
    ExpectSolved(pairs, "pairs");
  }
}

TEST(TridiagonalEigen, SolvesMatricesWithZerosBesideTheDiagonal) {
  for (int64_t n : kSizes) {
    for (int64_t every : {1, 2, 7, 100}) {
      Tridiagonal t = Random(n);
      for (int64_t i = 0; i < n; i += every) t.beside[i] = 0;
      ExpectSolved(t, "zeros");
    }
    Tridiagonal no_diagonal = Random(n);
    std::fill(no_diagonal.diagonal.begin(), no_diagonal.diagonal.end(), 0.0);
    ExpectSolved(no_diagonal, "zeros on the diagonal");
  }
}

TEST(TridiagonalEigen, SolvesGradedMatrices) {
  for (int64_t n : kSizes) {
    for (double smallest : {1e-8, 1e-100, 1e-300}) {
      Tridiagonal t = Random(n);
      for (int64_t i = 0; i < n; ++i) {
        const double grade = std::pow(smallest, static_cast<double>(i) / static_cast<double>(n));
        t.diagonal[i] *= grade;
        t.beside[i] *= grade;
      }
      ExpectSolved(t, "graded down");
      std::reverse(t.diagonal.begin(), t.diagonal.end());
      std::reverse(t.beside.begin(), t.beside.end() - 1);
      ExpectSolved(t, "graded up");
    }
  }
}

TEST(TridiagonalEigen, KeepsTheDigitsOfTinyAndLargeMatrices) {
  for (double scale : {1e-300, 1e-150, 1e150, 1e300}) {
    Tridiagonal t = Random(129);
    for (double& x : t.diagonal) x *= scale;
    for (double& x : t.beside) x *= scale;
    ExpectSolved(t, "scaled");
  }
}

TEST(TridiagonalEigen, OfSecondDifferencesAreKnown) {
  for (int64_t n : {1, 2, 3, 24, 25, 26, 129, 1000}) {
    ExpectSolved(Constant(n, 2, -1), "second differences");
    const Eigen eigen = Decompose(Constant(n, 2, -1));
    double worst = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double angle = std::numbers::pi * static_cast<double>(k + 1) / static_cast<double>(2 * (n + 1));
      worst = std::max(worst, std::fabs(eigen.values[k] - 4 * std::sin(angle) * std::sin(angle)));
    }
    EXPECT_LE(worst, 4 * 4 * static_cast<double>(n) * kUnit) << n;
  }
}

TEST(TridiagonalEigen, HasTheSameBitsWithAnyNumberOfWorkers) {
  Tridiagonal t = Constant(1100, 2, 1);
  for (int64_t i = 0; i < 1100; ++i) t.diagonal[i] += 0.001 * static_cast<double>(i % 13);
  t.beside[300] = 0;
  ThreadExecutor three(3);
  const Eigen eigen = Decompose(three, t);
  const Eigen expected = Decompose(t);
  EXPECT_EQ(eigen.values, expected.values);
  EXPECT_EQ(eigen.vectors, expected.vectors);
}

TEST(TridiagonalEigen, StopsWhereverItIsCancelled) {
  const Tridiagonal t = Constant(600, 2, 1);
  CancellingExecutor to_the_end(CancellingExecutor::kNever);
  Decompose(to_the_end, t);
  for (int64_t tile = 0; tile < to_the_end.tiles(); tile += 7) {
    CancellingExecutor executor(tile);
    runtime::BufferPool pool;
    Tridiagonal copy = t;
    std::vector<double> vectors(600 * 600);
    const absl::Status done =
        TridiagonalEigen(executor, pool, 600, copy.diagonal.data(), copy.beside.data(), vectors.data());
    EXPECT_EQ(done.code(), absl::StatusCode::kCancelled) << tile << " of " << to_the_end.tiles();
    EXPECT_EQ(executor.tiles(), tile + 1);
    EXPECT_EQ(pool.in_use_bytes(), 0u);
  }
}

TEST(TridiagonalEigen, WorksWithinItsBytes) {
  for (int64_t n : {1, 24, 129, 257, 600, 1100}) {
    Tridiagonal t = Constant(n, 2, 1);
    runtime::BufferPool pool;
    WatchingExecutor executor(pool);
    std::vector<double> vectors(static_cast<size_t>(n * n));
    EXPECT_TRUE(TridiagonalEigen(executor, pool, n, t.diagonal.data(), t.beside.data(), vectors.data()).ok());
    // The pool rounds blocks up by at most an eighth.
    EXPECT_LE(static_cast<double>(executor.peak()), 9.0 / 8 * TridiagonalEigenBytes(n)) << n;
  }
}

}  // namespace
}  // namespace attend::compute
