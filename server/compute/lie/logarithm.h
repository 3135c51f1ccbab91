// The principal logarithm of a real matrix. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_LOGARITHM_H_
#define ATTEND_SERVER_COMPUTE_LIE_LOGARITHM_H_

#include <complex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/lie/triangular_log.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Some seconds at this size.
inline constexpr int64_t kLargestLogarithm = 1024;

struct Logarithm {
  bool exists = false;                            // no eigenvalue is 0 or on the negative real axis, beyond rounding
  std::string obstacle;                           // the eigenvalue that is, where it does not
  std::vector<std::complex<double>> eigenvalues;  // [n], of the matrix
  LogarithmCost cost;
};

// log [n, n] = the real logarithm of a [n, n] whose eigenvalues have imaginary parts in (-pi, pi). Where there is none,
// `log` is not written. An eigenvalue counts as 0 where its modulus is at most n units of roundoff (2^-53) of ||a||_F.
//
// Schur form, TriangularLog, and back. Errors: the executor's, INTERNAL where the Schur form does not converge.
// REQUIRES: n <= kLargestLogarithm, a finite; log does not overlap a. Memory: LogarithmWorkspaceBytes(n).
absl::Status ComputeLogarithm(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& a,
                              const Matrix<double>& log, Logarithm& result);

double LogarithmWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_LOGARITHM_H_
