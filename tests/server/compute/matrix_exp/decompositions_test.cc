#include "server/compute/matrix_exp/decompositions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr double kUnit = 1.1e-16;

std::vector<double> RandomSymmetric(int64_t n) {
  std::mt19937 random(static_cast<uint32_t>(n));
  std::normal_distribution<double> normal;
  std::vector<double> a(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j <= i; ++j) a[i * n + j] = a[j * n + i] = normal(random);
  }
  return a;
}

struct Eigen {
  std::vector<double> values;
  std::vector<double> vectors;
};

Eigen Decompose(runtime::Executor& executor, int64_t n, std::vector<double> a) {
  runtime::BufferPool pool;
  Eigen result{std::vector<double>(static_cast<size_t>(n)), std::vector<double>(static_cast<size_t>(n * n))};
  EXPECT_TRUE(SymmetricEigen(executor, pool, n, a.data(), result.values.data(), result.vectors.data()).ok());
  return result;
}

TEST(SymmetricEigen, VectorsSolveTheirEquations) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  // Panels begin above 64 rows.
  for (int64_t n : {1, 2, 3, 5, 17, 64, 65, 96, 97, 129, 200}) {
    const std::vector<double> a = RandomSymmetric(n);
    const Eigen eigen = Decompose(executor, n, a);
    EXPECT_TRUE(std::is_sorted(eigen.values.begin(), eigen.values.end()));
    // Householder reductions are backward stable: residuals of some n units of |A|_2, which is about 2 sqrt(n) here.
    const double tolerance = 10 * static_cast<double>(n) * 2 * std::sqrt(static_cast<double>(n)) * kUnit;
    double worst = 0;
    double worst_dot = 0;
    for (int64_t k = 0; k < n; ++k) {
      const double* z = eigen.vectors.data() + k * n;
      for (int64_t i = 0; i < n; ++i) {
        double image = 0;
        double dot = 0;
        for (int64_t j = 0; j < n; ++j) {
          image += a[i * n + j] * z[j];
          dot += eigen.vectors[i * n + j] * z[j];
        }
        worst = std::max(worst, std::fabs(image - eigen.values[k] * z[i]));
        worst_dot = std::max(worst_dot, std::fabs(dot - (i == k ? 1 : 0)));
      }
    }
    EXPECT_LE(worst, tolerance) << n;
    EXPECT_LE(worst_dot, 10 * static_cast<double>(n) * kUnit) << n;
  }
}

TEST(SymmetricEigen, HasTheSameBitsWithAnyNumberOfWorkers) {
  const int64_t n = 300;
  const std::vector<double> a = RandomSymmetric(n);
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor alone(cancellation);
  ThreadExecutor three(3);
  const Eigen expected = Decompose(alone, n, a);
  const Eigen eigen = Decompose(three, n, a);
  EXPECT_EQ(eigen.values, expected.values);
  EXPECT_EQ(eigen.vectors, expected.vectors);
}

TEST(SymmetricEigen, StopsWhenCancelled) {
  runtime::Cancellation cancellation;
  cancellation.Cancel();
  runtime::InlineExecutor executor(cancellation);
  runtime::BufferPool pool;
  std::vector<double> a = RandomSymmetric(129);
  std::vector<double> values(129), vectors(129 * 129);
  EXPECT_EQ(SymmetricEigen(executor, pool, 129, a.data(), values.data(), vectors.data()).code(),
            absl::StatusCode::kCancelled);
}

std::vector<double> RandomSkew(int64_t n) {
  std::vector<double> a = RandomSymmetric(n);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i; j < n; ++j) a[i * n + j] = i == j ? 0 : -a[j * n + i];
  }
  return a;
}

struct Tridiagonal {
  std::vector<double> q;
  std::vector<double> subdiagonal;
};

Tridiagonal Reduce(runtime::Executor& executor, int64_t n, const std::vector<double>& a) {
  runtime::BufferPool pool;
  Tridiagonal result{a, std::vector<double>(static_cast<size_t>(n))};
  EXPECT_TRUE(SkewTridiagonal(executor, pool, n, result.q.data(), result.subdiagonal.data()).ok());
  return result;
}

// Backward stable, as above; |a|_2 <= norm.
void ExpectReduced(int64_t n, const std::vector<double>& a, double norm) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Tridiagonal t = Reduce(executor, n, a);
  double worst = 0;
  double worst_dot = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      // a q^T = q^T t, row by row of q: a q_i = sum over k of t[k, i] q_k.
      double image = 0;
      double dot = 0;
      for (int64_t k = 0; k < n; ++k) {
        image += a[j * n + k] * t.q[i * n + k];
        dot += t.q[i * n + k] * t.q[j * n + k];
      }
      if (i + 1 < n) image -= t.subdiagonal[i] * t.q[(i + 1) * n + j];
      if (i > 0) image += t.subdiagonal[i - 1] * t.q[(i - 1) * n + j];
      worst = std::max(worst, std::fabs(image));
      worst_dot = std::max(worst_dot, std::fabs(dot - (i == j ? 1 : 0)));
    }
  }
  EXPECT_LE(worst, 10 * static_cast<double>(n) * norm * kUnit) << n;
  EXPECT_LE(worst_dot, 10 * static_cast<double>(n) * kUnit) << n;
}

TEST(SkewTridiagonal, IsSimilarThroughAnOrthogonalMatrix) {
  for (int64_t n : {1, 2, 3, 5, 17, 31, 32, 33, 34, 64, 65, 129, 200}) {
    ExpectReduced(n, RandomSkew(n), 2 * std::sqrt(static_cast<double>(n)));
  }
}

TEST(SkewTridiagonal, KeepsItsBasisOrthogonalWhereColumnsAreTiny) {
  for (double tiny : {0.0, 1e-160, 1e-200, 1e-310}) {
    const int64_t n = 40;
    std::vector<double> a = RandomSkew(n);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) a[i * n + j] *= i < 20 && j < 20 ? 1 : tiny;
    }
    ExpectReduced(n, a, 2 * std::sqrt(static_cast<double>(n)));
  }
}

TEST(SkewTridiagonal, HasTheSameBitsWithAnyNumberOfWorkers) {
  const int64_t n = 600;  // products with the rest are split above 512 rows
  const std::vector<double> a = RandomSkew(n);
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor alone(cancellation);
  ThreadExecutor three(3);
  const Tridiagonal expected = Reduce(alone, n, a);
  const Tridiagonal reduced = Reduce(three, n, a);
  EXPECT_EQ(reduced.q, expected.q);
  EXPECT_EQ(reduced.subdiagonal, expected.subdiagonal);
}

}  // namespace
}  // namespace attend::compute
