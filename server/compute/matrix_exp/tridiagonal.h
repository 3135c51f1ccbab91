// Symmetric matrices to tridiagonal form and back, in panels on the executor's threads: cancellation is polled between
// two. Thread-safe. Matrices are column-major, as in server/compute/lapack.h. Errors are the executor's.
// Source: Dongarra, Sorensen and Hammarling 1989 (LAPACK's dsytrd).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIDIAGONAL_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIDIAGONAL_H_

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// a [n, n] symmetric, only its lower triangle is read, = Q T Q^T; reflectors of Q below a's subdiagonal.
absl::Status ReduceToTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                                 const lapack::Tridiagonal& to);

// c = Q c.
absl::Status ApplyTridiagonalReflectors(runtime::Executor& executor, runtime::BufferPool& pool,
                                        const lapack::ColumnMajor& a, const double* factors,
                                        const lapack::ColumnMajor& c);

// Bytes of working memory of one at a time, with one worker; each further one takes some 50 KB for the second.
double TridiagonalBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TRIDIAGONAL_H_
