#include "server/compute/matrix_exp/taylor_polynomial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/server/compute/matrix_exp/oracle.h"

namespace attend::compute {
namespace {

using Coefficients = std::vector<Quad>;  // of x^0, x^1, ..

Coefficients Of(const Combination& combination) {
  Coefficients result(7, 0);
  for (size_t k = 0; k < combination.size(); ++k) result[static_cast<size_t>(kCombinedPowers[k])] = combination[k];
  return result;
}

Coefficients Sum(Coefficients a, const Coefficients& b, Quad factor = 1) {
  a.resize(std::max(a.size(), b.size()), 0);
  for (size_t k = 0; k < b.size(); ++k) a[k] += factor * b[k];
  return a;
}

Coefficients Product(const Coefficients& a, const Coefficients& b) {
  Coefficients result(a.size() + b.size() - 1, 0);
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) result[i + j] += a[i] * b[j];
  }
  return result;
}

void ExpectTaylor(const Coefficients& polynomial, int degree, double tolerance) {
  Quad factorial = 1;
  for (int k = 0; k < static_cast<int>(polynomial.size()); ++k) {
    if (k > 0) factorial *= k;
    const Quad coefficient = polynomial[static_cast<size_t>(k)];
    const double error = static_cast<double>(k <= degree ? coefficient * factorial - 1 : coefficient);
    EXPECT_LE(std::fabs(error), tolerance) << "degree " << degree << ", coefficient " << k;
  }
}

// The coefficients are rounded to double: each is within some units of roundoff of 1 / k!.
constexpr double kTolerance = 2e-15;

TEST(TaylorPolynomial, Degree4MultipliesOut) {
  const Coefficients square = {0, 0, 1};
  ExpectTaylor(Sum(Of(taylor4::kRest), Product(square, Of(taylor4::kFactor))), 4, kTolerance);
}

TEST(TaylorPolynomial, Degree8MultipliesOut) {
  const Coefficients square = {0, 0, 1};
  const Coefficients inner = Product(square, Of(taylor8::kInner));
  const Coefficients left = Sum(Of(taylor8::kLeft), inner);
  const Coefficients right = Sum(Of(taylor8::kRight), inner, taylor8::kRightInner);
  ExpectTaylor(Sum(Of(taylor8::kRest), Product(left, right)), 8, kTolerance);
}

// It has a term of degree 16 too, which the plan knows of: 0.5457 / 16!, computed with 60 digits.
TEST(TaylorPolynomial, Degree15MultipliesOut) {
  const Coefficients square = {0, 0, 1};
  const Coefficients inner = Product(square, Of(taylor15::kInner));
  const Coefficients left = Sum(Of(taylor15::kLeft), inner);
  const Coefficients right = Sum(Of(taylor15::kRight), inner);
  const Coefficients outer = Sum(Sum(Of(taylor15::kRest), inner, taylor15::kRestInner), Product(left, right));
  const Coefficients last_left = Sum(Of(taylor15::kLastLeft), outer);
  const Coefficients last_right = Sum(Sum(Of(taylor15::kLastRight), inner, taylor15::kLastRightInner), outer);
  Coefficients all =
      Sum(Sum(Of(taylor15::kLastRest), inner, taylor15::kLastRestInner), outer, taylor15::kLastRestOuter);
  all = Sum(all, Product(last_left, last_right));
  constexpr double kFactorial16 = 20922789888000.0;
  EXPECT_NEAR(static_cast<double>(all[16]) * kFactorial16, 0.5457435, 1e-6);
  all[16] = 0;
  ExpectTaylor(all, 15, kTolerance);
  EXPECT_EQ(static_cast<double>(all[0]), 1);
  EXPECT_EQ(static_cast<double>(all[1]), 1);
}

TEST(TaylorPolynomial, Degree18MultipliesOut) {
  const Coefficients inner = Product(Of(taylor18::kL1), Of(taylor18::kL5));
  const Coefficients right = Sum(Of(taylor18::kL4), inner);
  const Coefficients left = Sum(Of(taylor18::kL3), right);
  const Coefficients all = Sum(Sum(Of(taylor18::kRest), inner, taylor18::kKappa), Product(left, right));
  ExpectTaylor(all, 18, kTolerance);
  EXPECT_EQ(static_cast<double>(all[0]), 1);
  EXPECT_EQ(static_cast<double>(all[1]), 1);
}

TEST(TaylorPolynomial, ScaledIsThePolynomialOfTheScaledMatrix) {
  const Combination scaled = Scaled({1, 2, 3, 4, 5}, 0.5);
  EXPECT_EQ(scaled, (Combination{1, 1, 0.75, 0.5, 5.0 / 64}));
}

TEST(TaylorPolynomial, MagnitudeIsAtLeastTheValue) {
  for (int degree : {2, 4, 8, 15, 18}) {
    for (double x : {1e-3, 0.1, 1.0}) EXPECT_GE(PolynomialMagnitude(degree, {x, x * x, x * x * x}), 1 + x);
  }
}

}  // namespace
}  // namespace attend::compute
