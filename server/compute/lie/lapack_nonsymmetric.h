// The LAPACK routines for nonsymmetric eigenvalues. Declared and called in lapack_nonsymmetric.cc alone. Matrices are
// contiguous and COLUMN-major, as LAPACK has them. Thread-safe; each call runs on the calling thread to its end:
// nothing inside polls a deadline, so callers bound n.
#ifndef ATTEND_SERVER_COMPUTE_LIE_LAPACK_NONSYMMETRIC_H_
#define ATTEND_SERVER_COMPUTE_LIE_LAPACK_NONSYMMETRIC_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace attend::compute {

// The eigenvalues of a [n, n], finite, which is overwritten (dgeev, balanced). Real ones have an imaginary part of
// exactly 0; complex ones come in exact pairs. INTERNAL where the QR iteration does not converge.
absl::Status Eigenvalues(int64_t n, double* a, std::vector<std::complex<double>>& values);

// a = q t q^T with t, which replaces a, quasi-triangular and q [n, n] orthogonal (dgees). `values` and errors: as
// above.
absl::Status RealSchur(int64_t n, double* a, double* q, std::vector<std::complex<double>>& values);

// Bytes of working memory beyond the arguments, of either.
double LapackNonsymmetricWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_LAPACK_NONSYMMETRIC_H_
