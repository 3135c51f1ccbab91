// Hessenberg matrices to real Schur form by QR sweeps of small bulges with aggressive early deflation. Thread-safe;
// runs on the calling thread and polls cancellation between sweeps, of some milliseconds each up to n = 1024.
// Source: Braman, Byers and Mathias 2002, parts I and II; sweeps and deflation are LAPACK's (dlaqr5, dlaqr3), the
// iteration between them is ours: LAPACK's own (dhseqr) does not end before it converges.
#ifndef ATTEND_SERVER_COMPUTE_LIE_MULTISHIFT_QR_H_
#define ATTEND_SERVER_COMPUTE_LIE_MULTISHIFT_QR_H_

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// qr.h [n, n], n >= 1, Hessenberg in `range`, triangular outside, zeros below, becomes quasi-triangular and qr.z is
// turned along (where z is not wanted, h ends unspecified); real and imaginary become the eigenvalues. Complex ones
// come in exact pairs. The executor's errors; INTERNAL where the iteration does not converge.
absl::Status SchurOfHessenberg(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::HessenbergQr& qr,
                               const lapack::ActiveRange& range);

// Bytes of working memory.
double MultishiftQrBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_MULTISHIFT_QR_H_
