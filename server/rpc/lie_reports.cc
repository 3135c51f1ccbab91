#include "server/rpc/lie_reports.h"

namespace attend::rpc {
namespace {

v1::Mixing ToWire(compute::Mixing mixing) {
  switch (mixing) {
    case compute::Mixing::kUnknown:
      return v1::MIXING_UNSPECIFIED;
    case compute::Mixing::kMixes:
      return v1::MIXING_MIXES;
    case compute::Mixing::kReducible:
      return v1::MIXING_REDUCIBLE;
    case compute::Mixing::kPeriodic:
      return v1::MIXING_PERIODIC;
    case compute::Mixing::kBeyondLimit:
      return v1::MIXING_BEYOND_LIMIT;
  }
  return v1::MIXING_UNSPECIFIED;
}

v1::Embeddability ToWire(compute::Embeddability verdict) {
  switch (verdict) {
    case compute::Embeddability::kNotStochastic:
      return v1::EMBEDDABILITY_NOT_STOCHASTIC;
    case compute::Embeddability::kEmbeddable:
      return v1::EMBEDDABILITY_EMBEDDABLE;
    case compute::Embeddability::kNotEmbeddable:
      return v1::EMBEDDABILITY_NOT_EMBEDDABLE;
    case compute::Embeddability::kUndecided:
      return v1::EMBEDDABILITY_UNDECIDED;
  }
  return v1::EMBEDDABILITY_UNSPECIFIED;
}

}  // namespace

v1::ChainDiagnostics WireOf(const compute::ChainDiagnostics& chain) {
  v1::ChainDiagnostics wire;
  wire.set_stochastic(chain.stochastic);
  wire.set_min_entry(chain.min_entry);
  wire.set_row_sum_error(chain.row_sum_error);
  if (!chain.stochastic) return wire;
  wire.set_closed_classes(static_cast<uint32_t>(chain.closed_classes));
  wire.set_period(static_cast<uint32_t>(chain.period));
  wire.mutable_stationary()->Add(chain.stationary.begin(), chain.stationary.end());
  wire.set_stationary_residual(chain.stationary_residual);
  for (const std::complex<double>& value : chain.eigenvalues) {
    wire.add_eigenvalues_real(value.real());
    wire.add_eigenvalues_imaginary(value.imag());
  }
  if (chain.second_modulus >= 0) {
    wire.set_second_modulus(chain.second_modulus);
    wire.set_spectral_gap(1 - chain.second_modulus);
    wire.set_second_modulus_error(chain.second_modulus_error);
    wire.set_spectral_gap_uncertain(compute::GapUncertain(chain));
  }
  wire.set_second_modulus_residual(chain.second_modulus_residual);
  wire.set_mixing(ToWire(chain.mixing));
  if (chain.mixing == compute::Mixing::kMixes) wire.set_mixing_time(static_cast<uint64_t>(chain.mixing_time));
  return wire;
}

v1::GeneratorDiagnostics WireOf(const compute::GeneratorDiagnostics& generator) {
  v1::GeneratorDiagnostics wire;
  wire.set_is_generator(generator.is_generator);
  wire.set_min_off_diagonal(generator.min_off_diagonal);
  wire.set_max_row_sum(generator.max_row_sum);
  wire.set_distance(generator.distance);
  return wire;
}

v1::MatrixLogReport WireOf(const compute::MatrixLogReport& report) {
  v1::MatrixLogReport wire;
  wire.set_exists(report.exists);
  wire.set_obstacle(report.obstacle);
  wire.set_verdict(ToWire(report.embedding.verdict));
  wire.set_reason(report.embedding.reason);
  wire.set_tolerance(report.embedding.tolerance);
  if (!report.exists) return wire;
  wire.set_norm1(report.norm1);
  wire.set_square_roots(report.cost.square_roots);
  wire.set_degree(report.cost.degree);
  wire.set_residual(report.residual);
  *wire.mutable_generator() = WireOf(report.generator);
  wire.set_nearest_error(report.nearest_error);
  return wire;
}

void AddToWire(const compute::SoftmaxDistance& distance, v1::AttentionDiagnostics& wire) {
  wire.set_softmax_max_difference(distance.max);
  wire.set_softmax_mean_difference(distance.mean);
  wire.set_softmax_max_total_variation(distance.max_total_variation);
}

double ChainBytes(int64_t n) { return 24 * static_cast<double>(n) + 224; }

}  // namespace attend::rpc
