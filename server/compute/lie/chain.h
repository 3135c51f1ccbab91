// What a row-stochastic matrix does as a Markov chain, in double precision. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_LIE_CHAIN_H_
#define ATTEND_SERVER_COMPUTE_LIE_CHAIN_H_

#include <complex>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class Mixing {
  kUnknown,      // not a chain, or its stationary distribution underflows
  kMixes,        // mixing_time says when
  kReducible,    // several closed classes: where it ends depends on where it began
  kPeriodic,     // it runs in circles
  kBeyondLimit,  // later than kLongestMixingTime
};

struct ChainDiagnostics {
  bool stochastic = false;  // all entries >= 0 and row_sum_error within kRowSumTolerance; else what follows is unset
  double min_entry = 0;
  double row_sum_error = 0;  // max |row sum - 1|
  int64_t closed_classes = 0;
  int64_t period = 0;              // of the only closed class; 0 where there are several
  std::vector<double> stationary;  // [n]; empty where there are several closed classes, or where it underflows
  double stationary_residual = 0;  // max |pi S - pi|, measured
  std::vector<std::complex<double>> eigenvalues;  // by modulus, largest first; empty for n > kLargestSpectrum
  double second_modulus = 0;           // 1 where the chain is reducible or periodic; -1 where it is not known
  double second_modulus_error = 0;     // estimate of its |error|, and of the gap's; see Spectrum
  double second_modulus_residual = 0;  // see ClassSpectrum
  Mixing mixing = Mixing::kUnknown;
  int64_t mixing_time = 0;  // steps, see MixingTime
};

// Whether the spectral gap 1 - second_modulus is not known to 1% of itself. REQUIRES: second_modulus is known.
bool GapUncertain(const ChainDiagnostics& chain);

// What rounding to T and a softmax in T leave, and numbers typed with six digits in double.
template <typename T>
inline constexpr double kRowSumTolerance = sizeof(T) == 4 ? 1e-5 : 1e-6;

// Of each of `batch` matrices [n, n]. Rows are divided by their sums first, so that an n x n of float32's rounding is a
// chain exactly. Fails only with the executor's errors, and INTERNAL where eigenvalues do not converge.
template <typename T>
absl::Status DiagnoseChains(runtime::Executor& executor, runtime::BufferPool& pool, int64_t batch, int64_t n,
                            const T* matrices, std::vector<ChainDiagnostics>& diagnostics);

// Of working memory, with up to `workers` tiles at once.
double ChainWorkspaceBytes(int64_t batch, int64_t n, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_CHAIN_H_
