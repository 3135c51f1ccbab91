// How many units of roundoff the steps of exp cost, for bounds that are measured on the way. Pure; thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_

#include <cmath>
#include <cstdint>

namespace attend::compute {

// Units of | |A| |B| |_1 that a product A B [n, n] rounds to: sums of n terms round to about sqrt(n), not n.
inline double ProductRounding(int64_t n) { return 1 + std::sqrt(static_cast<double>(n)); }

// Units of PolynomialMagnitude that a Taylor polynomial at a matrix of this norm rounds to: its first terms are there
// from the start, all others went through products of the matrix.
inline double EvaluationRounding(int64_t n, double norm) { return 2 + ProductRounding(n) * (norm < 1 ? norm : 1); }

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROUNDING_H_
