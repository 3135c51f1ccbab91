// Norms of a matrix. Pure functions; thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_

#include "server/compute/gemm.h"

namespace attend::compute {

// The largest column sum of absolute values, summed in double. Infinite where that overflows.
template <typename T>
double NormOne(const Matrix<const T>& a);

// The largest absolute value; 0 for an empty matrix.
template <typename T>
double MaxAbs(const Matrix<const T>& a);

template <typename T>
Matrix<const T> AsConst(const Matrix<T>& a) {
  return Matrix<const T>(a.data, a.rows, a.cols, a.stride);
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_
