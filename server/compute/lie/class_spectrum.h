// The eigenvalues of one communicating class of a Markov chain, and how well the largest of them is known. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_CLASS_SPECTRUM_H_
#define ATTEND_SERVER_COMPUTE_LIE_CLASS_SPECTRUM_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/lie/chain_structure.h"
#include "server/compute/lie/step_powers.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Up to here all eigenvalues are computed: 512 take about half a second.
inline constexpr int64_t kLargestSpectrum = 512;

struct ClassSpectrum {
  std::vector<std::complex<double>> eigenvalues;  // all, in any order; empty for more than kLargestSpectrum states
  // The largest modulus, but for one eigenvalue 1 of a closed class; 0 for a closed class of one state; -1 where it is
  // not known. May exceed 1 by rounding.
  double modulus = 0;
  double error = 0;     // estimate of |error| of `modulus`, rounding included
  double residual = 0;  // beyond kLargestSpectrum: ||S x - mu x|| of a unit x, measured, its own rounding included
};

struct ClassProblem {
  runtime::Executor& executor;
  runtime::BufferPool& pool;
  StepPowers& powers;
  const CommunicatingClass& states;
  const std::vector<double>& pi;  // stationary distribution of the whole chain, or empty: read for closed classes
};

// By all eigenvalues. A class in detailed balance (to rounding) becomes symmetric by scaling, and its eigenvalues are
// known to `asymmetry` and n u. Others are scaled by the stationary distribution; their error is estimated from the
// condition of the eigenvalue.
absl::Status DenseSpectrum(const ClassProblem& problem, ClassSpectrum& spectrum);

// By Arnoldi's iteration on the scaled matrix without the eigenvalue 1, from a fixed vector. Where that converges
// slowly because the chain mixes slowly, from an eigenvector of S^(2^k), whose eigenvalues are far apart. The error is
// the residual times the condition of the eigenvalue, from the left eigenvector. Unknown where the closed class has no
// detailed balance and pi underflows.
absl::Status IteratedSpectrum(const ClassProblem& problem, ClassSpectrum& spectrum);

double DenseSpectrumBytes(int64_t n);
double IteratedSpectrumBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_CLASS_SPECTRUM_H_
