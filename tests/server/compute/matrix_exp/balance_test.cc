#include "server/compute/matrix_exp/balance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "server/compute/matrix_exp/norms.h"

namespace attend::compute {
namespace {

template <typename T>
Matrix<const T> View(const std::vector<T>& a) {
  const auto n = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(a.size()))));
  return Matrix<const T>(a.data(), n, n);
}

template <typename T>
std::vector<int> ExponentsOf(const Matrix<const T>& a, int exponent) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  std::vector<int> exponents;
  EXPECT_TRUE(BalanceExponents(executor, a, exponent, exponents).ok());
  return exponents;
}

// Balanced a over 2^scale.
template <typename T>
std::vector<T> Apply(const std::vector<int>& exponents, const std::vector<T>& a, int& scale) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  std::vector<T> balanced(a.size());
  const auto n = static_cast<int64_t>(exponents.size());
  EXPECT_TRUE(Balance(executor, exponents, View(a), Matrix<T>(balanced.data(), n, n), scale).ok());
  return balanced;
}

TEST(Balance, LeavesMatricesWithAlikeRowsAndColumnsAlone) {
  EXPECT_TRUE(ExponentsOf(View<double>({1, 0.5, 0.1, 1}), 1).empty());
  EXPECT_TRUE(ExponentsOf(View<double>({1}), 1).empty());
  EXPECT_TRUE(ExponentsOf(View<double>({}), 0).empty());
  EXPECT_TRUE(ExponentsOf(View<double>({0, 0, 0, 0}), 0).empty());
}

TEST(Balance, MakesRowsAndColumnsAlikeWithoutRounding) {
  const std::vector<double> a = {1e-8, 1e4, 0, 1e-4, -1, 1e3, 0, 1e-6, 2};
  const std::vector<int> exponents = ExponentsOf(View(a), 14);
  ASSERT_EQ(exponents.size(), 3u);
  int scale = 0;
  const std::vector<double> balanced = Apply(exponents, a, scale);
  EXPECT_LT(std::ldexp(NormOne(View(balanced)), scale), 10);
  for (int k = 0; k < 9; ++k) {
    EXPECT_EQ(std::ldexp(balanced[k], scale + exponents[k / 3] - exponents[k % 3]), a[k]);
  }
}

TEST(Balance, ShrinksWhatNothingHoldsBack) {
  const std::vector<float> a = {1, 1e6, 0, -1};
  const std::vector<int> exponents = ExponentsOf(View(a), 20);
  ASSERT_EQ(exponents.size(), 2u);
  int scale = 0;
  const std::vector<float> balanced = Apply(exponents, a, scale);
  EXPECT_LT(std::ldexp(NormOne(View(balanced)), scale), 5);
}

TEST(Balance, EndsForEveryRange) {
  for (double scale : {5e-324, 1e-300, 1e300, 1.7e308}) {
    const std::vector<double> a = {scale, scale, scale * 1e-12, -scale, 0, scale, 1e-300, 1e-300, 0};
    for (int exponent : ExponentsOf(View(a), std::ilogb(scale) + 1)) EXPECT_LE(std::abs(exponent), kMostBalance);
  }
}

TEST(Balance, ReachesOverTheWholeRange) {
  for (double d : {1e20, 1e75, 1e150, 1e154}) {
    const std::vector<double> a = {1, 0.5 * d * d, 2 / d / d, -1};
    const std::vector<int> exponents = ExponentsOf(View(a), std::ilogb(d * d) + 1);
    ASSERT_EQ(exponents.size(), 2u);
    int scale = 0;
    const std::vector<double> balanced = Apply(exponents, a, scale);
    EXPECT_LT(std::ldexp(NormOne(View(balanced)), scale), 4) << d;
  }
}

}  // namespace
}  // namespace attend::compute
