// The rates of a generator, in units that neither end of the range of double disturbs. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_RATES_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_RATES_H_

#include <vector>

#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/double_double.h"

namespace attend::compute {

// time * g = (g / 2^g_exponent) * time_mantissa * 2^exponent.
struct Rates {
  int g_exponent = 0;
  double time_mantissa = 0;
  int exponent = 0;
  std::vector<DoubleDouble> row;  // [n], minus g_ii: the sum of the row's off-diagonal entries, / 2^g_exponent
  DoubleDouble largest;           // of row
  double least = 0;               // off-diagonal entry / 2^g_exponent; 0 where some are zero
};

// REQUIRES: off-diagonal entries of g [n, n] and time finite and >= 0.
template <typename T>
Rates MeasureRates(const Matrix<const T>& g, double time);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_RATES_H_
