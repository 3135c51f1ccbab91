#include "server/compute/bidiagonal_svd.h"

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

struct Bidiagonal {
  std::vector<double> diagonal;
  std::vector<double> beside;  // [n], above the diagonal, the last unused

  int64_t n() const { return static_cast<int64_t>(diagonal.size()); }
};

struct Svd {
  std::vector<double> values;
  std::vector<double> left;
  std::vector<double> right;
};

Svd Decompose(runtime::Executor& executor, const Bidiagonal& b) {
  runtime::BufferPool pool;
  const size_t size = b.diagonal.size() * b.diagonal.size();
  Svd svd{b.diagonal, std::vector<double>(size), std::vector<double>(size)};
  std::vector<double> beside = b.beside;
  const absl::Status done =
      BidiagonalSvd(executor, pool, b.n(), svd.values.data(), beside.data(), svd.left.data(), svd.right.data());
  EXPECT_TRUE(done.ok()) << done;
  return svd;
}

Svd Decompose(const Bidiagonal& b) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  return Decompose(executor, b);
}

double Norm(const Bidiagonal& b) {
  double norm = 0;
  for (int64_t i = 0; i < b.n(); ++i) {
    norm = std::max(norm, std::fabs(b.diagonal[i]) + (i + 1 < b.n() ? std::fabs(b.beside[i]) : 0));
  }
  return norm;
}

// max |B right - value left| over all vectors, in extended precision.
double WorstResidual(const Bidiagonal& b, const Svd& svd) {
  const int64_t n = b.n();
  long double worst = 0;
  for (int64_t k = 0; k < n; ++k) {
    const double* u = svd.left.data() + k * n;
    const double* v = svd.right.data() + k * n;
    for (int64_t i = 0; i < n; ++i) {
      long double image =
          static_cast<long double>(b.diagonal[i]) * v[i] - static_cast<long double>(svd.values[k]) * u[i];
      if (i + 1 < n) image += static_cast<long double>(b.beside[i]) * v[i + 1];
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

// Gu and Eisenstat 1995: backward stable and orthogonal within a modest multiple of n units of roundoff; 4, and what
// the products of the check round (n u at most). QR iterations on up to 24 rows take entries of up to u^(-1/8) = 98 u
// of their neighbours for zero.
void ExpectSolved(const Bidiagonal& b, const char* what) {
  const auto n = static_cast<double>(b.n());
  const Svd svd = Decompose(b);
  EXPECT_TRUE(std::is_sorted(svd.values.rbegin(), svd.values.rend())) << what << " " << n;
  EXPECT_GE(svd.values.back(), 0) << what << " " << n;
  EXPECT_LE(WorstResidual(b, svd), (98 + 4 * n) * kUnit * Norm(b)) << what << " " << n;
  EXPECT_LE(WorstDot(b.n(), svd.left), (8 + 5 * n) * kUnit) << what << " " << n;
  EXPECT_LE(WorstDot(b.n(), svd.right), (8 + 5 * n) * kUnit) << what << " " << n;
}

Bidiagonal Constant(int64_t n, double diagonal, double beside) {
  const auto size = static_cast<size_t>(n);
  return {std::vector<double>(size, diagonal), std::vector<double>(size, beside)};
}

Bidiagonal Random(int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<double> normal;
  Bidiagonal b = Constant(n, 0, 0);
  for (int64_t i = 0; i < n; ++i) {
    b.diagonal[i] = normal(random);
    b.beside[i] = normal(random);
  }
  return b;
}

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 24, 25, 26, 48, 49, 50, 64, 65, 129, 255, 256, 257, 513};

TEST(BidiagonalSvd, SolvesRandomMatrices) {
  for (int64_t n : kSizes) ExpectSolved(Random(n), "random");
  ExpectSolved(Random(1000), "random");
}

TEST(BidiagonalSvd, SolvesEqualSingularValues) {
  for (int64_t n : kSizes) {
    ExpectSolved(Constant(n, 0, 0), "zero");
    ExpectSolved(Constant(n, -3, 0), "multiple of the identity");
    ExpectSolved(Constant(n, 0, 1), "shift");
    Bidiagonal pairs = Constant(n, 1, 0);
    for (int64_t i = 0; i + 1 < n; i += 2) pairs.beside[i] = 1;
    ExpectSolved(pairs, "pairs");
  }
}

TEST(BidiagonalSvd, SolvesClusters) {
  for (int64_t n : kSizes) {
    for (double spread : {1e-4, 1e-10, 1e-15, 1e-18}) {
      Bidiagonal b = Random(n);
      for (int64_t i = 0; i < n; ++i) {
        b.diagonal[i] = 1 + spread * b.diagonal[i];
        b.beside[i] *= spread;
      }
      ExpectSolved(b, "cluster");
    }
  }
}

TEST(BidiagonalSvd, SolvesMatricesWithZeros) {
  for (int64_t n : kSizes) {
    for (int64_t every : {1, 2, 7, 100}) {
      Bidiagonal b = Random(n);
      for (int64_t i = 0; i < n; i += every) b.beside[i] = 0;
      ExpectSolved(b, "zeros above the diagonal");
      b = Random(n);
      for (int64_t i = 0; i < n; i += every) b.diagonal[i] = 0;
      ExpectSolved(b, "zeros on the diagonal");
      b = Random(n);
      for (int64_t i = n / 2; i < std::min(n, n / 2 + every); ++i) b.diagonal[i] = b.beside[i] = 0;
      ExpectSolved(b, "rows of zeros");
    }
  }
}

TEST(BidiagonalSvd, SolvesGradedMatrices) {
  for (int64_t n : kSizes) {
    for (double smallest : {1e-8, 1e-100, 1e-300}) {
      Bidiagonal b = Random(n);
      for (int64_t i = 0; i < n; ++i) {
        const double grade = std::pow(smallest, static_cast<double>(i) / static_cast<double>(n));
        b.diagonal[i] *= grade;
        b.beside[i] *= grade;
      }
      ExpectSolved(b, "graded down");
      std::reverse(b.diagonal.begin(), b.diagonal.end());
      std::reverse(b.beside.begin(), b.beside.end() - 1);
      ExpectSolved(b, "graded up");
    }
  }
}

TEST(BidiagonalSvd, KeepsTheDigitsOfTinyAndLargeMatrices) {
  for (double scale : {1e-300, 1e-150, 1e150, 1e300}) {
    Bidiagonal b = Random(129);
    for (double& x : b.diagonal) x *= scale;
    for (double& x : b.beside) x *= scale;
    ExpectSolved(b, "scaled");
  }
}

// B B^T of ones on both diagonals has twos on its diagonal but for the last, and ones beside it: the singular values
// are 2 cos(pi k / (2 n + 1)).
TEST(BidiagonalSvd, OfOnesIsKnown) {
  for (int64_t n : {1, 2, 3, 24, 25, 26, 129, 1000}) {
    ExpectSolved(Constant(n, 1, 1), "ones");
    const Svd svd = Decompose(Constant(n, 1, 1));
    double worst = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double angle = std::numbers::pi * static_cast<double>(k + 1) / static_cast<double>(2 * n + 1);
      worst = std::max(worst, std::fabs(svd.values[k] - 2 * std::cos(angle)));
    }
    EXPECT_LE(worst, 2 * (98 + 4 * static_cast<double>(n)) * kUnit) << n;
  }
}

TEST(BidiagonalSvd, HasTheSameBitsWithAnyNumberOfWorkers) {
  Bidiagonal b = Constant(1100, 2, 1);
  for (int64_t i = 0; i < 1100; ++i) b.diagonal[i] += 0.001 * static_cast<double>(i % 13);
  b.beside[300] = 0;
  ThreadExecutor three(3);
  const Svd svd = Decompose(three, b);
  const Svd expected = Decompose(b);
  EXPECT_EQ(svd.values, expected.values);
  EXPECT_EQ(svd.left, expected.left);
  EXPECT_EQ(svd.right, expected.right);
}

TEST(BidiagonalSvd, StopsWhereverItIsCancelled) {
  const Bidiagonal b = Constant(600, 2, 1);
  CancellingExecutor to_the_end(CancellingExecutor::kNever);
  Decompose(to_the_end, b);
  for (int64_t tile = 0; tile < to_the_end.tiles(); tile += 11) {
    CancellingExecutor executor(tile);
    runtime::BufferPool pool;
    Bidiagonal copy = b;
    std::vector<double> left(600 * 600), right(600 * 600);
    const absl::Status done =
        BidiagonalSvd(executor, pool, 600, copy.diagonal.data(), copy.beside.data(), left.data(), right.data());
    EXPECT_EQ(done.code(), absl::StatusCode::kCancelled) << tile << " of " << to_the_end.tiles();
    EXPECT_EQ(executor.tiles(), tile + 1);
    EXPECT_EQ(pool.in_use_bytes(), 0u);
  }
}

TEST(BidiagonalSvd, WorksWithinItsBytes) {
  for (int64_t n : {1, 24, 129, 257, 600, 1100}) {
    Bidiagonal b = Constant(n, 2, 1);
    runtime::BufferPool pool;
    WatchingExecutor executor(pool);
    std::vector<double> left(static_cast<size_t>(n * n)), right(left.size());
    EXPECT_TRUE(BidiagonalSvd(executor, pool, n, b.diagonal.data(), b.beside.data(), left.data(), right.data()).ok());
    // The pool rounds blocks up by at most an eighth.
    EXPECT_LE(static_cast<double>(executor.peak()), 9.0 / 8 * BidiagonalSvdBytes(n)) << n;
  }
}

}  // namespace
}  // namespace attend::compute
