// The decompositions that exponentials of symmetric and skew-symmetric matrices need. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_DECOMPOSITIONS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_DECOMPOSITIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// All matrices are contiguous and row-major. What fails: the executor's CANCELLED and DEADLINE_EXCEEDED,
// RESOURCE_EXHAUSTED for n > 32768 (LAPACK counts in 32 bits), INTERNAL where an iteration does not converge.

// a [n, n] symmetric = vectors^T diag(values) vectors; values ascend, row i of vectors [n, n] is the eigenvector of
// values[i]. Overwrites a. Householder reduction to tridiagonal form and back in panels (dlatrd, dormqr), divide and
// conquer between them (tridiagonal_eigen.h), all on the executor's threads.
absl::Status SymmetricEigen(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                            double* values, double* vectors);

// a [n, n] skew-symmetric = q^T t q with t tridiagonal: t[i + 1, i] = subdiagonal[i] = -t[i, i + 1]. Overwrites a with
// the orthogonal q. In panels on the executor's threads.
absl::Status SkewTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                             double* subdiagonal);

// The singular value decomposition ut^T diag(values) vt of a lower bidiagonal matrix [n, n]; ut, vt [n, n]; values (in:
// the diagonal) descend; overwrites subdiagonal [n - 1]. On the executor's threads (bidiagonal_svd.h).
absl::Status LowerBidiagonalSvd(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* values,
                                double* subdiagonal, double* ut, double* vt);

// Bytes of working memory beyond the arguments: of the first two at n, of the third at (n + 1) / 2.
double DecompositionBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_DECOMPOSITIONS_H_
