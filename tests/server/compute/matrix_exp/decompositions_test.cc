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

}  // namespace
}  // namespace attend::compute
