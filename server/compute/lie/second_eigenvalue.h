// The second eigenvalue of a transition matrix: how fast its chain forgets. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_
#define ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Up to here all eigenvalues are computed: 512 take about half a second.
inline constexpr int64_t kLargestSpectrum = 512;

struct Spectrum {
  // All n, by modulus, largest first, then by real and imaginary part; empty for n > kLargestSpectrum.
  std::vector<std::complex<double>> eigenvalues;
  double second_modulus = 0;  // the largest modulus but for one eigenvalue 1; 0 for n = 1; in [0, 1]
  // ||D x - mu x|| for the unit eigenvector x of the iteration beyond kLargestSpectrum, which stops at 1e-10 or after
  // 20 restarts of up to 96 steps; 0 where LAPACK computed (backward error: a few units of roundoff).
  double residual = 0;
};

// Of s [n, n], row-stochastic with the only stationary distribution pi. Beyond kLargestSpectrum by Arnoldi's iteration
// on D = S - 1 pi, which has the eigenvalues of S with one 1 replaced by 0; it begins with a fixed vector.
absl::Status SpectrumOfChain(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                             const std::vector<double>& pi, Spectrum& spectrum);

// The eigenvalues alone, in the order above, of any s [n, n]. REQUIRES: n <= kLargestSpectrum.
absl::Status SortedEigenvalues(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                               std::vector<std::complex<double>>& eigenvalues);

double SpectrumWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_
