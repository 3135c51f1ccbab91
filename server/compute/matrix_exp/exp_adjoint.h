// The adjoint of exp's Frechet derivative at any matrix: gradients through exp(time * A). Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_EXP_ADJOINT_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_EXP_ADJOINT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// sum [n, n] += time * L(time * a^T, gradient), that of every entry of a. T is float or double; computed in double.
// REQUIRES: a and gradient [n, n] finite, time finite; no overlaps.
// Scaling and squaring of exp and its derivative side by side; A is shifted by the mean of its diagonal where that
// makes its norm less. The error is a few units of roundoff times the condition of exp, relative to |L|. Returns
// OUT_OF_RANGE with the norm where exp or its derivative overflows on the way, and the executor's errors. Products: 18
// of [n, n], and 3 for each squaring. Memory: ExpAdjointBytes. Source: Al-Mohy and Higham 2009, Computing the Frechet
// derivative of the matrix exponential.
template <typename T>
absl::Status AddExpAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& a,
                           double time, const Matrix<const double>& gradient, const Matrix<double>& sum);

// Bytes of working memory.
double ExpAdjointBytes(int64_t n);

// Floating-point operations, `norm` = |time * a|_1 at most.
double ExpAdjointFlops(int64_t n, double norm);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_EXP_ADJOINT_H_
