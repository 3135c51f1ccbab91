// The principal logarithm of a complex upper triangular matrix. Thread-safe; runs on the calling thread, polls
// `cancelled` between square roots and between the terms of the approximant.
#ifndef ATTEND_SERVER_COMPUTE_LIE_TRIANGULAR_LOG_H_
#define ATTEND_SERVER_COMPUTE_LIE_TRIANGULAR_LOG_H_

#include <complex>
#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/cancellation.h"

namespace attend::compute {

struct LogarithmCost {
  uint32_t square_roots = 0;
  uint32_t degree = 0;  // of the Pade approximant
};

// Replaces t [n, n], COLUMN-major and zero below the diagonal, by its logarithm. REQUIRES: no diagonal entry is 0 or on
// the negative real axis.
//
// Inverse scaling and squaring: square roots until ||t^(1/2^s) - I||_1 <= 0.288, then the diagonal Pade approximant of
// the least degree m <= 7 whose backward error is below the unit roundoff, as a sum of m partial fractions at
// Gauss-Legendre nodes. The diagonal of t^(1/2^s) - I is computed without cancellation (Al-Mohy 2012); diagonal and
// superdiagonal of the logarithm come from closed formulas (Higham 2008, 11.28). Al-Mohy and Higham 2012,
// algorithm 4.1, but for its estimates of powers: a few more square roots may be taken of a matrix far from normal.
// Memory: three matrices of t's size.
absl::Status TriangularLog(const runtime::Cancellation& cancelled, runtime::BufferPool& pool, int64_t n,
                           std::complex<double>* t, LogarithmCost& cost);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_TRIANGULAR_LOG_H_
