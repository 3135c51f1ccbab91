// The second eigenvalue of a transition matrix: how fast its chain forgets. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_
#define ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/lie/chain_structure.h"
#include "server/compute/lie/class_spectrum.h"
#include "server/compute/lie/step_powers.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

struct Spectrum {
  // All n, by modulus, largest first, then by real and imaginary part; empty for n > kLargestSpectrum.
  std::vector<std::complex<double>> eigenvalues;
  // The largest modulus but for one eigenvalue 1, in [0, 1]; 0 for n = 1; 1 where the chain has several closed classes
  // or is periodic, by its structure; -1 where it is not known.
  double second_modulus = 0;
  double error = 0;     // estimate of |error| of second_modulus, at most 1; 0 where the structure says it
  double residual = 0;  // see ClassSpectrum
};

// Of the chain S = powers.at(0): class by class, since S is block triangular. pi: its only stationary distribution;
// empty where there are several or where it underflows.
absl::Status SpectrumOfChain(runtime::Executor& executor, runtime::BufferPool& pool, StepPowers& powers,
                             const ChainStructure& structure, const std::vector<double>& pi, Spectrum& spectrum);

double SpectrumWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_SECOND_EIGENVALUE_H_
