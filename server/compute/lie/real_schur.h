// Eigenvalues and real Schur forms of nonsymmetric matrices, in double: balancing, Hessenberg form (hessenberg.h), QR
// iterations (multishift_qr.h). Matrices are contiguous and COLUMN-major, as LAPACK has them. Thread-safe; large
// products on the executor's threads; cancellation is polled every few milliseconds up to n = 1024.
#ifndef ATTEND_SERVER_COMPUTE_LIE_REAL_SCHUR_H_
#define ATTEND_SERVER_COMPUTE_LIE_REAL_SCHUR_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The eigenvalues of a [n, n], finite, which is overwritten. Real ones have an imaginary part of exactly 0; complex
// ones come in exact pairs. The executor's errors; INTERNAL where the QR iteration does not converge.
absl::Status Eigenvalues(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                         std::vector<std::complex<double>>& values);

// a = q t q^T with t, which replaces a, quasi-triangular and q [n, n] orthogonal. `values`, in t's order, and errors:
// as above.
absl::Status RealSchur(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a, double* q,
                       std::vector<std::complex<double>>& values);

// Bytes of working memory beyond the arguments, of either, with one worker; each further one takes some 70 KB.
double RealSchurWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_REAL_SCHUR_H_
