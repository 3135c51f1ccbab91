// Skew-symmetric matrices to tridiagonal form, in panels on the executor's threads: cancellation is polled between two.
// Thread-safe. Matrices are column-major, as in server/compute/lapack.h. Errors are the executor's.
//
// A reflection I - f v v^T takes M to M + v w^T - w v^T with w = f M v, since v^T M v = 0: as LAPACK's dlatrd, less its
// correction. Source: Ward and Gray 1978; Dongarra, Sorensen and Hammarling 1989 (panels).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SKEW_TRIDIAGONAL_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SKEW_TRIDIAGONAL_H_

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// a [n, n] skew-symmetric = Q T Q^T: T's subdiagonal in a's, the reflectors of Q below it, as
// ApplyTridiagonalReflectors takes them. factors: [n].
absl::Status ReduceSkewToTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool,
                                     const lapack::ColumnMajor& a, double* factors);

// Bytes of working memory.
double SkewTridiagonalBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SKEW_TRIDIAGONAL_H_
