#include "server/compute/lie/real_schur.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

#include "server/compute/gemm.h"
#include "tests/server/compute/cancelling_executor.h"
#include "tests/server/compute/thread_executor.h"
#include "tests/server/compute/watching_executor.h"

namespace attend::compute {
namespace {

constexpr double kUnit = 1.1e-16;

using Values = std::vector<std::complex<double>>;

struct Schur {
  std::vector<double> t;
  std::vector<double> q;
  Values values;
};

Schur Decompose(runtime::Executor& executor, int64_t n, const std::vector<double>& a) {
  runtime::BufferPool pool;
  Schur schur{a, std::vector<double>(a.size()), {}};
  const absl::Status done = RealSchur(executor, pool, n, schur.t.data(), schur.q.data(), schur.values);
  EXPECT_TRUE(done.ok()) << done;
  return schur;
}

Values EigenvaluesOf(runtime::Executor& executor, int64_t n, std::vector<double> a) {
  runtime::BufferPool pool;
  Values values;
  const absl::Status done = Eigenvalues(executor, pool, n, a.data(), values);
  EXPECT_TRUE(done.ok()) << done;
  return values;
}

std::vector<double> Product(int64_t n, const std::vector<double>& a, bool a_transposed, const std::vector<double>& b,
                            bool b_transposed) {
  std::vector<double> c(a.size());
  EXPECT_TRUE(Gemm(1.0, Operand<double>(a.data(), n, n, n, a_transposed),
                   Operand<double>(b.data(), n, n, n, b_transposed), 0.0, Matrix<double>(c.data(), n, n))
                  .ok());
  return c;
}

double Norm(const std::vector<double>& a) {
  double largest = 0;
  for (double x : a) largest = std::max(largest, std::fabs(x));
  double sum = 0;
  for (double x : a) sum += largest == 0 ? 0 : (x / largest) * (x / largest);
  return largest * std::sqrt(sum);
}

// Eigenvalues stand in the order of t's diagonal, pairs where it has a block.
void ExpectQuasiTriangular(int64_t n, const Schur& schur) {
  const auto t = [&](int64_t i, int64_t j) { return schur.t[static_cast<size_t>(i + j * n)]; };
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = j + 2; i < n; ++i) EXPECT_EQ(t(i, j), 0) << n << ": " << i << ", " << j;
    const std::complex<double> value = schur.values[static_cast<size_t>(j)];
    EXPECT_EQ(value.real(), t(j, j)) << n << ": " << j;
    if (value.imag() == 0) {
      EXPECT_EQ(j + 1 < n ? t(j + 1, j) : 0, 0) << n << ": " << j;
    } else if (value.imag() > 0) {
      EXPECT_EQ(schur.values[static_cast<size_t>(j + 1)], std::conj(value)) << n << ": " << j;
      EXPECT_EQ(j + 2 < n ? t(j + 2, j + 1) : 0, 0) << n << ": " << j;
    }
  }
}

// QR iterations are backward stable: within a modest multiple of n units of roundoff of the norm; 4, and n for the
// products of the check.
void ExpectSolved(int64_t n, const std::vector<double>& a, const char* what) {
  SCOPED_TRACE(what);
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Schur schur = Decompose(executor, n, a);
  ExpectQuasiTriangular(n, schur);
  const double tolerance = 5 * static_cast<double>(n + 4) * kUnit;
  // Column-major matrices are the transposes of row-major ones: q^T and t^T are what stands there.
  std::vector<double> back = Product(n, Product(n, schur.q, true, schur.t, true), false, schur.q, false);
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) worst = std::max(worst, std::fabs(back[i * n + j] - a[j * n + i]));
  }
  EXPECT_LE(worst, tolerance * Norm(a)) << n;
  const std::vector<double> dots = Product(n, schur.q, false, schur.q, true);
  worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) worst = std::max(worst, std::fabs(dots[i * n + j] - (i == j ? 1 : 0)));
  }
  EXPECT_LE(worst, tolerance) << n;
}

using Entry = std::function<double(int64_t i, int64_t j)>;

std::vector<double> Fill(int64_t n, const Entry& entry) {
  std::vector<double> a(static_cast<size_t>(n * n));
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < n; ++i) a[static_cast<size_t>(i + j * n)] = entry(i, j);
  }
  return a;
}

std::vector<double> Random(int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<double> normal;
  return Fill(n, [&](int64_t, int64_t) { return normal(random); });
}

// Sweeps begin above 75 rows, panels above 128.
constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65, 75, 76, 77, 100, 129, 150, 151, 200, 300};

TEST(RealSchur, OfRandomMatrices) {
  for (int64_t n : kSizes) ExpectSolved(n, Random(n), "random");
  ExpectSolved(800, Random(800), "random");
}

TEST(RealSchur, OfMatricesOfEveryKind) {
  for (int64_t n : kSizes) {
    const std::vector<double> random = Random(n);
    const auto at = [&](int64_t i, int64_t j) { return random[static_cast<size_t>(i + j * n)]; };
    ExpectSolved(n, Fill(n, [](int64_t, int64_t) { return 0.0; }), "zero");
    ExpectSolved(n, Fill(n, [](int64_t i, int64_t j) { return i == j ? 2.0 : 0.0; }), "multiple of the identity");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return i <= j ? at(i, j) : 0; }), "upper triangular");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return i >= j ? at(i, j) : 0; }), "lower triangular");
    ExpectSolved(n, Fill(n, [](int64_t i, int64_t j) { return i == j + 1 ? 1.0 : 0.0; }), "one Jordan block");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return (i + 1) % n == j ? 1.0 : 0.0; }), "cycle");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return i == j ? 0 : i < j ? at(i, j) : -at(j, i); }), "skew");
    ExpectSolved(n, Fill(n, [](int64_t i, int64_t j) { return i >= j ? 1.0 : j == i + 1 ? -1.0 : 0.0; }), "Grcar's");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return at(i, j) * std::exp2(static_cast<double>(j - i)); }),
                 "graded");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return i / 3 <= j / 3 ? at(i, j) : 0; }), "blocks");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return (i == j ? 1 : 0) + 1e-9 * at(i, j); }), "cluster");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return at(i, 0) * at(j, 0); }), "rank one");
    ExpectSolved(n, Fill(n, [&](int64_t i, int64_t j) { return i == 0 || j == 0 || i == n - 1 ? 0 : at(i, j); }),
                 "eigenvalues that stand alone");
  }
}

TEST(RealSchur, KeepsTheDigitsOfTinyAndLargeMatrices) {
  for (double scale : {1e-300, 1e-200, 1e200, 1e300}) {
    std::vector<double> a = Random(129);
    for (double& x : a) x *= scale;
    ExpectSolved(129, a, "scaled");
  }
}

// Of the cycle: the n-th roots of 1; it is normal, so rounding moves them no further than n units.
TEST(Eigenvalues, OfACycleAreKnown) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (int64_t n : kSizes) {
    const Values values = EigenvaluesOf(executor, n, Fill(n, [&](int64_t i, int64_t j) { return (i + 1) % n == j; }));
    ASSERT_EQ(values.size(), static_cast<size_t>(n));
    double worst = 0;
    for (int64_t k = 0; k < n; ++k) {
      const std::complex<double> root =
          std::polar(1.0, 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n));
      double nearest = 4;
      for (const auto& value : values) nearest = std::min(nearest, std::abs(value - root));
      worst = std::max(worst, nearest);
    }
    EXPECT_LE(worst, 4 * static_cast<double>(n + 4) * kUnit) << n;
  }
}

// Symmetric matrices are normal, too.
TEST(Eigenvalues, AreThoseOfTheSchurForm) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (int64_t n : kSizes) {
    const std::vector<double> random = Random(n);
    const std::vector<double> a =
        Fill(n, [&](int64_t i, int64_t j) { return random[static_cast<size_t>(std::min(i, j) + std::max(i, j) * n)]; });
    Values expected = Decompose(executor, n, a).values;
    Values values = EigenvaluesOf(executor, n, a);
    const auto below = [](const auto& x, const auto& y) { return x.real() < y.real(); };
    std::sort(expected.begin(), expected.end(), below);
    std::sort(values.begin(), values.end(), below);
    double worst = 0;
    for (size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(values[i] - expected[i]));
    EXPECT_LE(worst, 5 * static_cast<double>(n + 4) * kUnit * Norm(a)) << n;
  }
}

TEST(RealSchur, HasTheSameBitsWithAnyNumberOfWorkers) {
  const int64_t n = 600;  // products with the rest are split above 512 rows
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor alone(cancellation);
  ThreadExecutor three(3);
  const Schur expected = Decompose(alone, n, Random(n));
  const Schur schur = Decompose(three, n, Random(n));
  EXPECT_EQ(schur.t, expected.t);
  EXPECT_EQ(schur.q, expected.q);
  EXPECT_EQ(schur.values, expected.values);
}

TEST(RealSchur, StopsWhereverItIsCancelled) {
  const int64_t n = 300;
  CancellingExecutor to_the_end(CancellingExecutor::kNever);
  Decompose(to_the_end, n, Random(n));
  for (int64_t tile = to_the_end.tiles() - 1; tile >= 0; tile -= 7) {  // the last: QR iterations have none
    CancellingExecutor executor(tile);
    runtime::BufferPool pool;
    std::vector<double> a = Random(n), q(a.size());
    Values values;
    EXPECT_EQ(RealSchur(executor, pool, n, a.data(), q.data(), values).code(), absl::StatusCode::kCancelled) << tile;
    EXPECT_EQ(executor.tiles(), tile + 1);
    EXPECT_EQ(pool.in_use_bytes(), 0u);
  }
}

TEST(RealSchur, WorksWithinItsBytes) {
  for (int64_t n : {1, 64, 76, 129, 200, 600}) {
    runtime::BufferPool pool;
    WatchingExecutor executor(pool);
    std::vector<double> a = Random(n), q(a.size());
    Values values;
    EXPECT_TRUE(RealSchur(executor, pool, n, a.data(), q.data(), values).ok());
    // The pool rounds blocks up by at most an eighth.
    EXPECT_LE(static_cast<double>(executor.peak()), 9.0 / 8 * RealSchurWorkspaceBytes(n)) << n;
  }
}

}  // namespace
}  // namespace attend::compute
