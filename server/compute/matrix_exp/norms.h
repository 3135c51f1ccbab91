// Norms of a matrix. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The largest column sum of absolute values, summed in double. Infinite where that overflows.
template <typename T>
double NormOne(const Matrix<const T>& a);

// The same in panels on the executor's threads. Its errors.
template <typename T>
absl::Status NormOne(runtime::Executor& executor, const Matrix<const T>& a, double& norm);

// The largest absolute value; 0 for an empty matrix.
template <typename T>
double MaxAbs(const Matrix<const T>& a);
template <typename T>
absl::Status MaxAbs(runtime::Executor& executor, const Matrix<const T>& a, double& largest);

template <typename T>
Matrix<const T> AsConst(const Matrix<T>& a) {
  return Matrix<const T>(a.data, a.rows, a.cols, a.stride);
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_NORMS_H_
