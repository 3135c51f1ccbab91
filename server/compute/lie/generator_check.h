// Whether a matrix generates a Markov chain, and how far it is from one that does. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_LIE_GENERATOR_CHECK_H_
#define ATTEND_SERVER_COMPUTE_LIE_GENERATOR_CHECK_H_

#include <cstdint>

#include "server/compute/gemm.h"

namespace attend::compute {

struct GeneratorDiagnostics {
  bool is_generator = false;    // off-diagonal >= 0, rows sum to 0 within rounding (see GeneratorRowSum)
  double min_off_diagonal = 0;  // 0 for n = 1
  double max_row_sum = 0;       // max |row sum|
  double distance = 0;          // to the nearest generator, in the Frobenius norm
};

// `nearest` [n, n] gets the nearest generator, rounded to double; it may be null: only the distance is wanted.
template <typename T>
GeneratorDiagnostics DiagnoseGenerator(const Matrix<const T>& a, double* nearest);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_GENERATOR_CHECK_H_
