#include "server/compute/matrix_exp/taylor_polynomial.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

double Magnitude(const Combination& coefficients, const std::array<double, 3>& norms) {
  return std::fabs(coefficients[0]) + std::fabs(coefficients[1]) * norms[0] + std::fabs(coefficients[2]) * norms[1] +
         std::fabs(coefficients[3]) * norms[2] + std::fabs(coefficients[4]) * norms[2] * norms[2];
}

constexpr std::array<double, 20> kFactorials = [] {
  std::array<double, 20> factorials{1};
  for (size_t k = 1; k < factorials.size(); ++k) factorials[k] = factorials[k - 1] * static_cast<double>(k);
  return factorials;
}();

// std::pow takes as long as the product of two matrices of four rows.
double Power(double x, int exponent) {
  double power = 1;
  for (; exponent > 0; --exponent) power *= x;
  return power;
}

}  // namespace

double PolynomialMagnitude(int degree, const std::array<double, 3>& norms) {
  if (degree == 2) return 1 + norms[0] + norms[1] / 2;
  if (degree == 4) return Magnitude(taylor4::kRest, norms) + norms[1] * Magnitude(taylor4::kFactor, norms);
  if (degree == 8) {
    const double inner = norms[1] * Magnitude(taylor8::kInner, norms);
    const double left = Magnitude(taylor8::kLeft, norms) + inner;
    const double right = Magnitude(taylor8::kRight, norms) + taylor8::kRightInner * inner;
    return Magnitude(taylor8::kRest, norms) + left * right;
  }
  if (degree == 15) {
    const double inner = norms[1] * Magnitude(taylor15::kInner, norms);
    const double outer = (inner + Magnitude(taylor15::kLeft, norms)) * (inner + Magnitude(taylor15::kRight, norms)) +
                         taylor15::kRestInner * inner + Magnitude(taylor15::kRest, norms);
    const double right = outer - taylor15::kLastRightInner * inner + Magnitude(taylor15::kLastRight, norms);
    return (outer + Magnitude(taylor15::kLastLeft, norms)) * right + taylor15::kLastRestOuter * outer -
           taylor15::kLastRestInner * inner + Magnitude(taylor15::kLastRest, norms);
  }
  const double inner = Magnitude(taylor18::kL1, norms) * Magnitude(taylor18::kL5, norms);
  const double right = inner + Magnitude(taylor18::kL4, norms);
  return Magnitude(taylor18::kRest, norms) + std::fabs(taylor18::kKappa) * inner +
         (Magnitude(taylor18::kL3, norms) + right) * right;
}

double PowersSensitivity(int degree, const std::array<double, 3>& norms, const std::array<double, 3>& errors) {
  // The magnitude is convex in the norms: a step of more than the errors bounds its growth, and does not drown in the
  // rounding of the difference.
  constexpr double kStep = 256;
  std::array<double, 3> raised = norms;
  for (size_t k = 0; k < raised.size(); ++k) raised[k] += kStep * errors[k];
  const double within = (PolynomialMagnitude(degree, raised) - PolynomialMagnitude(degree, norms)) / kStep;
  const double square = norms[1] + errors[1];
  const int half = (degree + 1) / 2;
  double beyond = half * errors[1] * Power(square, half - 1);
  if (degree == 18) {
    // B^18 as nine squares, six of which make up the sixth power twice, or as six cubes.
    const double cube = norms[2] + errors[2];
    const double through_cubes =
        9 * errors[1] * square * square * Power(cube, 4) + 6 * errors[2] * Power(cube, 5);
    beyond = std::min(9 * errors[1] * Power(square, 8), through_cubes);
  }
  return within + (1 + norms[0]) * beyond / kFactorials[static_cast<size_t>(degree + 1)];
}

}  // namespace attend::compute
