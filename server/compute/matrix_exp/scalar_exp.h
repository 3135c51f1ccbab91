// exp of numbers and its divided differences, at both ends of the range. Pure functions; thread-safe.
//
// Exponents are long doubles: the product of two doubles neither overflows there nor loses more than 2^-64 of itself.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SCALAR_EXP_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SCALAR_EXP_H_

#include <cstdint>

namespace attend::compute {

// mantissa 2^exponent, mantissa in [1, 2) or 0.
struct ScaledNumber {
  double mantissa = 0;
  int64_t exponent = 0;
};
ScaledNumber ScaledExp(long double x);

// exp(x), rounded once; infinity or 0 where double cannot hold it.
double Exp(long double x);

// (exp(x) - exp(y)) / (x - y), exp(x) where they are equal: within a few units of roundoff, no cancellation.
long double ExpDividedDifference(long double x, long double y);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SCALAR_EXP_H_
