// Eigenvalues and vectors of symmetric tridiagonal matrices by divide and conquer on a call's threads, in double.
// Thread-safe. Cancellation is polled every few milliseconds, whatever the size.
//
// Halves that a correction of rank one joins are solved apart, small ones by QR iterations (LAPACK's dsteqr); their
// eigenvalues and the roots of the secular equation (dlaed4) are those of the whole.
// Source: Cuppen 1981, Gu and Eisenstat 1995 (vectors orthogonal without higher precision).
#ifndef ATTEND_SERVER_COMPUTE_TRIDIAGONAL_EIGEN_H_
#define ATTEND_SERVER_COMPUTE_TRIDIAGONAL_EIGEN_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Eigenvalues of the matrix [n, n], n >= 1, into `diagonal`, ascending; destroys `subdiagonal` [n - 1]. Row i of
// vectors [n, n], row-major, is the eigenvector of diagonal[i]. Blocks that no subdiagonal entry joins (none beyond
// rounding of its neighbours on the diagonal) are solved apart, each as accurate as alone. Errors: the executor's;
// INTERNAL where an iteration does not converge. REQUIRES: entries finite.
absl::Status TridiagonalEigen(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                              double* subdiagonal, double* vectors);

// Working memory beyond the arguments, bytes, with any number of workers.
double TridiagonalEigenBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_TRIDIAGONAL_EIGEN_H_
