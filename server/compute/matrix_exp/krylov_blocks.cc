#include "server/compute/matrix_exp/krylov_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// The largest |entry| of each column.
std::vector<double> ColumnMaxima(const Matrix<double>& a) {
  std::vector<double> maxima(static_cast<size_t>(a.cols), 0);
  for (int64_t i = 0; i < a.rows; ++i) {
    const double* row = a.row(i);
    for (size_t j = 0; j < maxima.size(); ++j) maxima[j] = std::max(maxima[j], std::fabs(row[j]));
  }
  return maxima;
}

}  // namespace

KrylovBlocks::KrylovBlocks(const Dense& f, runtime::BufferPool& pool)
    : n_(f.rows()), p_(f.cols()), memory_(n_, kMostTerms * p_, pool), sum_(n_, p_, pool) {
  for (int64_t i = 0; i < n_; ++i) std::copy_n(f.view().row(i), p_, memory_.view().row(i));
  std::copy_n(f.data(), f.size(), sum_.data());
  last_ = sums_ = peaks_ = ColumnMaxima(sum_.view());
}

absl::Status KrylovBlocks::ExtendTo(int terms, runtime::Executor& executor, double scale, const Operand<double>& c) {
  while (terms_ < terms) {
    if (auto done = AddBlock(executor, scale, c); !done.ok()) return done;
  }
  return absl::OkStatus();
}

absl::Status KrylovBlocks::ExtendUntilNegligible(double tolerance, runtime::Executor& executor, double scale,
                                                 const Operand<double>& c) {
  converged_ = false;
  while (!converged_ && terms_ < kMostTerms) {
    if (auto done = AddBlock(executor, scale, c); !done.ok()) return done;
    converged_ = IsNegligible(tolerance);
  }
  return absl::OkStatus();
}

absl::Status KrylovBlocks::AddBlock(runtime::Executor& executor, double scale, const Operand<double>& c) {
  const Matrix<double> next = block(terms_);
  if (auto done = ParallelGemm(executor, scale / terms_, c, block(terms_ - 1), 0.0, next); !done.ok()) return done;
  ++terms_;
  for (int64_t i = 0; i < n_; ++i) {
    for (int64_t j = 0; j < p_; ++j) sum_.view().row(i)[j] += next.row(i)[j];
  }
  std::swap(before_, last_);
  last_ = ColumnMaxima(next);
  sums_ = ColumnMaxima(sum_.view());
  for (size_t j = 0; j < peaks_.size(); ++j) peaks_[j] = std::max(peaks_[j], last_[j]);
  return absl::OkStatus();
}

bool KrylovBlocks::IsNegligible(double tolerance) const {
  for (size_t j = 0; j < peaks_.size(); ++j) {
    const double negligible = tolerance * std::max(sums_[j], kUnit * peaks_[j]);
    if (before_[j] + last_[j] > negligible || !std::isfinite(peaks_[j])) return false;
  }
  return true;
}

double KrylovBlocks::Cancellation() const {
  double worst = 1;
  for (size_t j = 0; j < peaks_.size(); ++j) {
    if (peaks_[j] == 0) continue;
    const double ratio = peaks_[j] / sums_[j];
    worst = std::max(worst, std::isfinite(ratio) ? ratio : std::numeric_limits<double>::infinity());
  }
  return worst;
}

}  // namespace attend::compute
