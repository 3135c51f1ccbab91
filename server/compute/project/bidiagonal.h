// Reductions by Householder reflectors, panel by panel, so that products run on a call's threads and cancellation is
// polled. Column-major, as LAPACK. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_BIDIAGONAL_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_BIDIAGONAL_H_

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// a (rows >= cols >= 1) = Q B P^T with B upper bidiagonal; the reflectors stay in a.
absl::Status ReduceToBidiagonal(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                                const lapack::Bidiagonal& to);

// a (rows >= cols >= 1) = Q R; the reflectors stay below R. factors: [cols].
absl::Status ReduceToTriangular(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                                double* factors);

enum class Side { kLeft, kRight };
// c = Q c (kLeft, c [a.rows, k]) or P c (kRight, c [a.cols, k]) with the reflectors of either reduction.
absl::Status ApplyReflectors(runtime::Executor& executor, runtime::BufferPool& pool, Side side,
                             const lapack::ColumnMajor& a, const double* factors, const lapack::ColumnMajor& c);

// Memory that these three hold at a time, bytes.
double ReflectorWorkspaceBytes(int64_t rows, int64_t cols, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_BIDIAGONAL_H_
