#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "server/compute/project/low_rank.h"
#include "server/compute/project/triplets.h"
#include "server/runtime/cancellation.h"

namespace attend::compute {
namespace {

// Matrices whose range a Krylov space exhausts early: exact zeros outside, so that rounding has nowhere to go.
struct Case {
  const char* name;
  int64_t n, m;
  std::function<double(int64_t, int64_t)> entry;
};

double Hashed(int64_t i, int64_t j) { return std::sin(static_cast<double>(i * i * 7 + 13 * j * j + 3 * i * j + 1)); }

std::vector<Case> Cases() {
  const auto within = [](int64_t rows, int64_t cols, int64_t i, int64_t j) { return i < rows && j < cols; };
  return {
      {"a padded block of 40", 512, 512,
       [=](int64_t i, int64_t j) { return within(40, 40, i, j) ? std::exp(2 * Hashed(i, j)) / 40 : 0.0; }},
      {"30 ones of a diagonal", 512, 512, [](int64_t i, int64_t j) { return i == j && i < 30 ? 1.0 : 0.0; }},
      {"one of 19 types each", 512, 512, [](int64_t i, int64_t j) { return j == (i * i + i / 7) % 19 ? 1.0 : 0.0; }},
      {"counts", 520, 530,
       [](int64_t i, int64_t j) { return i % 9 == j % 9 && j < 60 ? std::floor(5 + 5 * Hashed(i % 11, j)) : 0.0; }},
      {"20 blocks of ones", 600, 600, [](int64_t i, int64_t j) { return i / 30 == j / 30 ? 1.0 : 0.0; }},
      {"a block of 10", 600, 600, [=](int64_t i, int64_t j) { return within(10, 10, i, j) ? Hashed(i, j) : 0.0; }},
      {"ones", 600, 600, [](int64_t, int64_t) { return 1.0; }},
      {"50 dense rows", 512, 700, [](int64_t i, int64_t j) { return i < 50 ? Hashed(i, j) : 0.0; }},
      {"50 dense columns", 700, 512, [](int64_t i, int64_t j) { return j < 50 ? Hashed(i, j) : 0.0; }},
      {"blocks of two scales", 512, 512,
       [](int64_t i, int64_t j) { return i / 12 == j / 12 && i < 60 ? Hashed(i, j) * (i < 24 ? 1 : 1e-7) : 0.0; }},
      {"zero", 512, 520, [](int64_t, int64_t) { return 0.0; }},
  };
}

// max |v v^T - I| of rows.
double Deviation(const std::vector<double>& v, int64_t rank, int64_t length) {
  double most = 0;
  for (int64_t p = 0; p < rank; ++p) {
    for (int64_t q = 0; q <= p; ++q) {
      double sum = p == q ? -1 : 0;
      for (int64_t i = 0; i < length; ++i) sum += v[p * length + i] * v[q * length + i];
      most = std::max(most, std::abs(sum));
    }
  }
  return most;
}

template <typename T>
class SpentRange : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(SpentRange, ElementTypes);

// Against the exact decomposition of the same rounded entries. Values, vectors and distance carry the rounding of the
// type that holds them; what is found in double before that is off by some sqrt(n) roundings of the norm.
TYPED_TEST(SpentRange, IsAsGoodAsTheExactDecomposition) {
  constexpr double kUnit = static_cast<double>(std::numeric_limits<TypeParam>::epsilon());
  runtime::Cancellation never;
  runtime::InlineExecutor executor(never);
  runtime::BufferPool pool;
  for (const Case& c : Cases()) {
    const int64_t n = c.n, m = c.m;
    std::vector<TypeParam> a(static_cast<size_t>(n * m));
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) a[i * m + j] = static_cast<TypeParam>(c.entry(i, j));
    }
    // ExactTriplets and SingularValues want the shorter side first.
    std::vector<double> copy(a.size());
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) copy[n > m ? j * n + i : i * m + j] = static_cast<double>(a[i * m + j]);
    }
    const auto truth = SingularValues(executor, pool, copy.data(), n, m);
    ASSERT_TRUE(truth.ok());
    const double norm = std::sqrt(std::inner_product(truth->begin(), truth->end(), truth->begin(), 0.0));
    const int64_t full_rank = CountAboveRounding(*truth, n, m, kUnit);
    for (int64_t rank : {1, 4, 8, 16}) {
      SCOPED_TRACE(std::string(c.name) + ", rank " + std::to_string(rank));
      LowRankResult found;
      const LowRankProblem<TypeParam> problem{1, n, m, a.data(), rank, 1};
      ASSERT_TRUE(LowRankProjection(executor, pool, problem, found).ok());
      const LowRankReport& report = found.reports[0];
      const double rounding = 64 * kUnit * norm;
      std::vector<double> u(static_cast<size_t>(rank * n)), v(static_cast<size_t>(rank * m)), s;
      for (int64_t k = 0; k < rank; ++k) {
        s.push_back(static_cast<double>(found.singular_values.template data<TypeParam>()[k]));
        for (int64_t i = 0; i < n; ++i) {
          u[k * n + i] = static_cast<double>(found.u.template data<TypeParam>()[i * rank + k]);
        }
        for (int64_t j = 0; j < m; ++j) {
          v[k * m + j] = static_cast<double>(found.vt.template data<TypeParam>()[k * m + j]);
        }
      }
      EXPECT_LE(Deviation(u, rank, n), 64 * kUnit);
      EXPECT_LE(Deviation(v, rank, m), 64 * kUnit);
      double best = 0, kept = 0;
      for (size_t k = truth->size(); k-- > 0;) {
        (static_cast<int64_t>(k) < rank ? kept : best) += (*truth)[k] * (*truth)[k];
      }
      best = std::sqrt(best);
      for (int64_t k = 0; k < rank; ++k) {
        EXPECT_LE(s[k], (*truth)[k] + rounding) << k;
        double nearest = norm;
        for (double value : *truth) nearest = std::min(nearest, std::abs(value - s[k]));
        EXPECT_LE(nearest, report.residual + rounding) << k;
      }
      long double square = 0;  // equal terms: a plain sum of 360000 in double would lose four digits
      double residual = 0;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < m; ++j) {
          double x = static_cast<double>(a[i * m + j]);
          for (int64_t k = 0; k < rank; ++k) x -= u[k * n + i] * s[k] * v[k * m + j];
          square += x * x;
        }
      }
      for (int64_t k = 0; k < rank; ++k) {
        std::vector<double> rest(v.begin() + k * m, v.begin() + (k + 1) * m);
        for (double& x : rest) x *= -s[k];
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t j = 0; j < m; ++j) rest[j] += u[k * n + i] * static_cast<double>(a[i * m + j]);
        }
        residual = std::max(residual, std::sqrt(std::inner_product(rest.begin(), rest.end(), rest.begin(), 0.0)));
      }
      const double distance = static_cast<double>(std::sqrt(square));
      EXPECT_NEAR(report.residual, residual, rounding);
      EXPECT_NEAR(report.distance, distance, rounding);
      EXPECT_LE(distance, best * report.distance_over_best + rounding);
      EXPECT_NEAR(report.energy, norm > 0 ? kept / (norm * norm) : 1, 3e-4);
      EXPECT_LE(report.numerical_rank, full_rank);
      if (!report.rank_is_least) {
        EXPECT_EQ(report.numerical_rank, full_rank);
      }
    }
  }
}

}  // namespace
}  // namespace attend::compute
