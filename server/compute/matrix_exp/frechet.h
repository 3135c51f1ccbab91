// The Frechet derivative of exp, for gradients through it. Thread-safe. T is float or double.
//
//   L(A, E) = d/de exp(A + e E) at e = 0;  the gradient of f(exp(A)) by A is L(A^T, F), F that of f by exp(A).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_FRECHET_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_FRECHET_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// exponential [n, n] = exp(time * g) of a generator, and rate_gradient [n, n]: that of every rate g_ij off the
// diagonal, which counts against g_ii as well: with D = time * L(time * g^T, grad_exponential), D_ij - D_ii; 0 on the
// diagonal. Only g's off-diagonal entries are read: the diagonal is minus their sum.
// REQUIRES: off-diagonal entries finite and >= 0; time finite and >= 0; grad_exponential finite; no overlaps.
// Computed in double; fast rates leave little of D's entries in their difference, which is taken before T rounds it.
// The gradient's error is a few hundred units of double's roundoff relative to time * max |grad_exponential| * n; it is
// infinite where T cannot hold it. The exponential is row-stochastic.
// Products: 18 of [n, n], and 3 for each squaring. Memory: GeneratorExpAdjointBytes.
// Sources: Al-Mohy and Higham 2009 (scaling and squaring of the pair); Jensen 1953 (uniformization: the terms of the
// exponential stay non-negative).
template <typename T>
absl::Status GeneratorExpAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                                 double time, const Matrix<const T>& grad_exponential, const Matrix<T>& exponential,
                                 const Matrix<T>& rate_gradient);

// The same with gradient = D: that of every entry of g as if all were free, the diagonal's too.
template <typename T>
absl::Status GeneratorExpEntryAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                                      double time, const Matrix<const T>& grad_exponential,
                                      const Matrix<T>& exponential, const Matrix<T>& gradient);

// Bytes of working memory.
double GeneratorExpAdjointBytes(int64_t n);

// Floating-point operations, with `rate_time` = time * max |g_ii|.
double GeneratorExpAdjointFlops(int64_t n, double rate_time);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_FRECHET_H_
