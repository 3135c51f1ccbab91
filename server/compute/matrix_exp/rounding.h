// How many units of roundoff the steps of exp cost, for bounds that are measured on the way. Pure; thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_

#include <array>
#include <cmath>
#include <cstdint>

namespace attend::compute {

// Units of | |A| |B| |_1 that a product A B [n, n] rounds to: sums of n terms round to about sqrt(n), not n.
inline double ProductRounding(int64_t n) { return 1 + std::sqrt(static_cast<double>(n)); }

// Units of PolynomialMagnitude that a Taylor polynomial at a matrix of this norm rounds to: its first terms are there
// from the start, all others went through products of the matrix.
inline double EvaluationRounding(int64_t n, double norm) { return 2 + ProductRounding(n) * (norm < 1 ? norm : 1); }

// What powers of a computed B may be off by in the 1-norm, absolute: | |B|^k |_1 for k = 2 and 3 are given. Where the
// square cancels this is all that its norm says.
inline std::array<double, 3> PowersRounding(double unit, int64_t n, double square, double cube) {
  const double rounding = unit * ProductRounding(n);
  return {0, rounding * square, 2 * rounding * cube};
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
