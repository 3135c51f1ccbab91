#include "server/compute/matrix_exp/action_polynomial.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/panel_terms.h"

namespace attend::compute {
namespace {

constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// sums[column] += factor times the sum over rows of weights[row] |entry|.
void AddAbs(const ColumnPanels& a, const std::vector<double>& weights, double factor, std::vector<double>& sums) {
  for (int64_t panel = 0; panel < a.panels(); ++panel) {
    double* panel_sums = sums.data() + panel * kPackedColumns;
    for (int64_t i = 0; i < a.rows(); ++i) {
      const double weight = factor * weights[static_cast<size_t>(i)];
      const double* row = a.at(panel, i);
      for (int64_t j = 0; j < a.width(panel); ++j) panel_sums[j] += weight * std::fabs(row[j]);
    }
  }
}

void TakeLargest(const double* from, std::vector<double>& to) {
  for (size_t j = 0; j < to.size(); ++j) to[j] = std::max(to[j], from[j]);
}

}  // namespace

ActionPolynomial::ActionPolynomial(runtime::BufferPool& pool, int64_t n, int64_t p)
    : term_(n, p, pool),
      next_(n, p, pool),
      sum_(n, p, pool),
      term_largest_(static_cast<size_t>(term_.panels() * kPackedColumns)),
      before_(term_largest_.size()),
      sum_largest_(term_largest_.size()),
      peaks_(term_largest_.size()) {}

absl::Status ActionPolynomial::Evaluate(runtime::Executor& executor, double scale, const PackedMatrix& c,
                                        const Dense& f, double tolerance, double most_cancellation) {
  term_.LoadFrom(AsConst(f.view()));
  std::copy_n(term_.data(), term_.size(), sum_.data());
  std::fill(peaks_.begin(), peaks_.end(), 0.0);
  for (int64_t i = 0; i < f.rows(); ++i) {
    const double* row = f.view().row(i);
    for (int64_t j = 0; j < f.cols(); ++j) {
      peaks_[static_cast<size_t>(j)] = std::max(peaks_[static_cast<size_t>(j)], std::fabs(row[j]));
    }
  }
  term_largest_ = peaks_;
  product_rounding_.assign(peaks_.size(), 0);
  converged_ = false;
  for (degree_ = 1; degree_ <= kMostTerms && !converged_; ++degree_) {
    std::swap(before_, term_largest_);
    if (!weights_.empty()) AddAbs(term_, weights_, std::fabs(scale) / degree_, product_rounding_);
    if (auto done = AddTerm(executor, scale / degree_, c); !done.ok()) return done;
    converged_ = true;
    for (size_t j = 0; j < peaks_.size(); ++j) {
      peaks_[j] = std::max(peaks_[j], term_largest_[j]);
      const double negligible = std::max(tolerance * sum_largest_[j], kUnit * kUnit * peaks_[j]);
      if (before_[j] + term_largest_[j] > negligible || !std::isfinite(peaks_[j])) converged_ = false;
    }
    if (!converged_ && Cancels(most_cancellation)) return absl::OkStatus();
  }
  --degree_;
  return absl::OkStatus();
}

// Where terms fall and are a small part of the largest, the sum hardly changes any more.
bool ActionPolynomial::Cancels(double most) const {
  for (size_t j = 0; j < peaks_.size(); ++j) {
    const bool falls = 2 * term_largest_[j] < before_[j] && before_[j] * 4 * most < peaks_[j];
    if (falls && sum_largest_[j] * 2 * most < peaks_[j]) return true;
  }
  return false;
}

// term = scale c term; sum += term.
absl::Status ActionPolynomial::AddTerm(runtime::Executor& executor, double scale, const PackedMatrix& c) {
  const size_t columns = term_largest_.size();
  tiles_.resize(static_cast<size_t>(c.Tiles(term_.cols())) * 2 * columns);
  std::fill(tiles_.begin(), tiles_.end(), 0.0);
  const auto tile_of = [&](int64_t index) { return tiles_.data() + static_cast<size_t>(index) * 2 * columns; };
  auto done = c.ForEachTile(executor, term_.cols(), 1, [&](const PackedTile& tile) {
    c.MultiplyTile(term_, tile, PackedMatrix::To::kSet, next_);
    for (int64_t panel = tile.first_panel; panel < tile.last_panel; ++panel) {
      double* largest = tile_of(tile.index) + panel * kPackedColumns;
      AddTaylorTerm({tile.end - tile.begin, next_.width(panel), scale, next_.at(panel, tile.begin),
                     sum_.at(panel, tile.begin), largest, largest + columns});
    }
  });
  if (!done.ok()) return done;
  std::swap(term_, next_);
  std::fill(term_largest_.begin(), term_largest_.end(), 0.0);
  std::fill(sum_largest_.begin(), sum_largest_.end(), 0.0);
  for (int64_t index = 0; index < c.Tiles(term_.cols()); ++index) {
    TakeLargest(tile_of(index), term_largest_);
    TakeLargest(tile_of(index) + columns, sum_largest_);
  }
  return absl::OkStatus();
}

double ActionPolynomial::ProductRounding() const {
  if (weights_.empty()) return 0;
  std::vector<double> sums(peaks_.size(), 0);
  AddAbs(sum_, std::vector<double>(static_cast<size_t>(sum_.rows()), 1), 1, sums);
  double worst = 0;
  for (size_t j = 0; j < sums.size(); ++j) {
    if (product_rounding_[j] > 0) worst = std::max(worst, product_rounding_[j] / sums[j]);
  }
  return std::min(worst, 1e300);
}

double ActionPolynomial::Cancellation() const {
  double worst = 1;
  for (size_t j = 0; j < peaks_.size(); ++j) {
    if (peaks_[j] == 0) continue;
    const double ratio = peaks_[j] / sum_largest_[j];
    worst = std::max(worst, std::isfinite(ratio) ? ratio : std::numeric_limits<double>::infinity());
  }
  return worst;
}

}  // namespace attend::compute
