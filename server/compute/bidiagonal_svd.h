// Singular values and vectors of bidiagonal matrices on a call's threads, in double. Thread-safe. Cancellation is
// polled every few milliseconds, whatever the size.
//
// Blocks that one row joins are solved apart, small ones by QR iterations (LAPACK's dlasdq); their singular values and
// the roots of the secular equation (dlasd4) are those of the whole.
// Source: Gu and Eisenstat 1995, "A divide-and-conquer algorithm for the bidiagonal SVD".
#ifndef ATTEND_SERVER_COMPUTE_BIDIAGONAL_SVD_H_
#define ATTEND_SERVER_COMPUTE_BIDIAGONAL_SVD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The singular values of the upper bidiagonal matrix [n, n], n >= 1, into `diagonal`, largest first, each within some
// units of roundoff of the largest; destroys `superdiagonal` [n - 1]. Row i of left and right, both [n, n] and
// row-major, are the vectors of diagonal[i]. (Of a lower one: left and right exchanged.)
// Errors: the executor's; INTERNAL where an iteration does not converge. REQUIRES: entries finite.
absl::Status BidiagonalSvd(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                           double* superdiagonal, double* left, double* right);

// The values alone. One stretch on the calling thread, of some 13 n^2 ns.
absl::Status BidiagonalValues(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* diagonal,
                              double* superdiagonal);

// Working memory of either beyond the arguments, bytes, with any number of workers.
double BidiagonalSvdBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_BIDIAGONAL_SVD_H_
