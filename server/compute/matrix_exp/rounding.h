// How many units of roundoff the steps of exp cost, for bounds that are measured on the way. Pure; thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_

#include <array>
#include <cmath>
#include <cstdint>

namespace attend::compute {

// Units of | |A| |B| |_1 that a product A B [n, n] rounds to: sums of n terms of one sign round to about sqrt(n) / 3,
// not n, of others to less.
inline double ProductRounding(int64_t n) { return 0.5 * (1 + std::sqrt(static_cast<double>(n))); }

// Units of PolynomialMagnitude that a Taylor polynomial at a matrix of this norm rounds to: its first terms are there
// from the start, all others went through products of the matrix.
inline double EvaluationRounding(int64_t n, double norm) { return 2 + ProductRounding(n) * (norm < 1 ? norm : 1); }

// What powers of a computed B may be off by in the 1-norm, absolute: | |B|^k |_1 for k = 2 and 3 are given. Where the
// square cancels this is all that its norm says.
inline std::array<double, 3> PowersRounding(double unit, int64_t n, double square, double cube) {
  const double rounding = unit * ProductRounding(n);
  return {0, rounding * square, 2 * rounding * cube};
}

// Whether what power k of B rounds to, | |B|^k |_1, counts beside a value of exp of norm `value`: whether the power is
// worth being formed with more digits. Matrices whose entries follow no pattern are far from it.
inline bool PowerCancels(int64_t n, double abs_power, double value) {
  return abs_power > 64 * std::sqrt(static_cast<double>(n)) * (value > 1 ? value : 1);
}

// What is taken off the diagonal of A for the mean of it: a number of so few digits that the differences hardly ever
// round, since exp may be far more sensitive to them than to the norm.
inline double ShortMean(double mean) {
  constexpr int kDigits = 16;
  int exponent = 0;
  const double mantissa = std::frexp(mean, &exponent);
  return std::ldexp(std::rint(std::ldexp(mantissa, kDigits)), exponent - kDigits);
}

// Whether that makes the norm so much less that it pays.
inline bool ShiftPays(double shifted, double norm) { return shifted < 0.875 * norm; }

// Bounds from here on are worth a second attempt with twice the digits.
inline constexpr double kPoorBound = 1e-6;

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
