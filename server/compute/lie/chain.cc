#include "server/compute/lie/chain.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "server/compute/lie/chain_structure.h"
#include "server/compute/lie/each_matrix.h"
#include "server/compute/lie/mixing_time.h"
#include "server/compute/lie/second_eigenvalue.h"
#include "server/compute/lie/stationary.h"

namespace attend::compute {
namespace {

// Copies `from` with rows that sum to 1, and says how far from that they were.
template <typename T>
void NormalizeRows(const Matrix<const T>& from, const Matrix<double>& to, ChainDiagnostics& chain) {
  chain.min_entry = from.rows == 0 ? 0 : std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < from.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < from.cols; ++j) {
      const auto entry = static_cast<double>(from.row(i)[j]);
      to.row(i)[j] = entry;
      sum += entry;
      chain.min_entry = std::min(chain.min_entry, entry);
    }
    chain.row_sum_error = std::max(chain.row_sum_error, std::fabs(sum - 1));
    for (int64_t j = 0; j < from.cols; ++j) to.row(i)[j] /= sum;
  }
  chain.stochastic = chain.min_entry >= 0 && chain.row_sum_error <= kRowSumTolerance<T>;
}

absl::Status DiagnoseUnique(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                            ChainDiagnostics& chain) {
  chain.stationary_residual = StationaryResidual(s, chain.stationary);
  Spectrum spectrum;
  if (absl::Status done = SpectrumOfChain(executor, pool, s, chain.stationary, spectrum); !done.ok()) return done;
  chain.eigenvalues = std::move(spectrum.eigenvalues);
  chain.second_modulus = spectrum.second_modulus;
  chain.second_modulus_residual = spectrum.residual;
  if (chain.period > 1) {
    chain.second_modulus = 1;
    chain.mixing = Mixing::kPeriodic;
    return absl::OkStatus();
  }
  std::optional<int64_t> steps;
  if (absl::Status done = MixingTime(executor, pool, s, chain.stationary, steps); !done.ok()) return done;
  chain.mixing = steps.has_value() ? Mixing::kMixes : Mixing::kBeyondLimit;
  chain.mixing_time = steps.value_or(0);
  return absl::OkStatus();
}

template <typename T>
absl::Status Diagnose(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& matrix,
                      ChainDiagnostics& chain) {
  const int64_t n = matrix.rows;
  const runtime::Buffer buffer = pool.AllocateArray<double>(static_cast<size_t>(n * n));
  NormalizeRows(matrix, Matrix<double>(buffer.as<double>(), n, n), chain);
  if (!chain.stochastic || n == 0) return absl::OkStatus();
  const Matrix<const double> s(buffer.as<double>(), n, n);
  const ChainStructure structure = StructureOfChain(s);
  chain.closed_classes = structure.closed_classes;
  chain.period = structure.period;
  if (structure.closed_classes > 1) {
    chain.second_modulus = 1;
    chain.mixing = Mixing::kReducible;
    return n > kLargestSpectrum ? absl::OkStatus() : SortedEigenvalues(executor, pool, s, chain.eigenvalues);
  }
  absl::Status done = StationaryDistribution(executor.cancellation(), pool, s, structure.closed, chain.stationary);
  if (!done.ok()) return done;
  if (!chain.stationary.empty()) return DiagnoseUnique(executor, pool, s, chain);
  chain.second_modulus = -1;
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status DiagnoseChains(runtime::Executor& executor, runtime::BufferPool& pool, int64_t batch, int64_t n,
                            const T* matrices, std::vector<ChainDiagnostics>& diagnostics) {
  diagnostics.assign(static_cast<size_t>(batch), ChainDiagnostics{});
  constexpr double kTypicalProducts = 20;
  return ForEachMatrix(executor, batch, n, kTypicalProducts, [&](runtime::Executor& inner, int64_t index) {
    const Matrix<const T> matrix(matrices + index * n * n, n, n);
    return Diagnose(inner, pool, matrix, diagnostics[static_cast<size_t>(index)]);
  });
}

template absl::Status DiagnoseChains(runtime::Executor&, runtime::BufferPool&, int64_t, int64_t, const float*,
                                     std::vector<ChainDiagnostics>&);
template absl::Status DiagnoseChains(runtime::Executor&, runtime::BufferPool&, int64_t, int64_t, const double*,
                                     std::vector<ChainDiagnostics>&);

double ChainWorkspaceBytes(int64_t batch, int64_t n, int workers) {
  const auto size = static_cast<double>(n);
  const double matrices = (MixingTimeMatrices() + 1) * 8 * size * size + SpectrumWorkspaceBytes(n);
  return MatricesAtOnce(batch, n, workers) * matrices +
         static_cast<double>(batch) * (sizeof(ChainDiagnostics) + 48 * size);
}

}  // namespace attend::compute
