#include "server/compute/matrix_exp/uniformization.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "server/compute/matrix_exp/generator_plan.h"
#include "server/compute/matrix_exp/panel_terms.h"

namespace attend::compute {
namespace {

constexpr double kMaxRatePerStep = 4096;
constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// What may still be lost when a vector that hardly changes any more is taken for the limit.
template <typename T>
constexpr double kNegligible = std::is_same_v<T, float> ? 0x1p-30 : 0x1p-58;
// What plain products may lose where they take over from split ones.
constexpr double kMostRounding = kUnit / 8;

double RoundToGrid(double a) {
  constexpr double kShift = 0x1.8p26;  // adding it leaves 26 bits behind the point
  return (a + kShift) - kShift;
}

}  // namespace

UniformRates::UniformRates(const Rates& rates) : g_unit(0), row(rates.row) {
  double q = rates.largest.hi;
  if (rates.largest.lo > 0) q = std::nextafter(q, std::numeric_limits<double>::infinity());
  int exponent = 0;
  rate = std::frexp(q, &exponent);
  g_unit = PowerOfTwo(-rates.g_exponent - exponent);
  const PowerOfTwo down(-exponent);
  for (DoubleDouble& each : row) each = down(each);
  // More than this ends by convergence or by the deadline only.
  rate_time = std::min(std::ldexp(rate * rates.time_mantissa, rates.exponent + exponent), 1e300);
}

template <typename T>
struct Uniformization<T>::Tails {
  explicit Tails(const PoissonWeights& poisson)
      : weights(static_cast<size_t>(poisson.last() + 1), 0),
        tails(weights.size() + 1, 0),
        sums(tails),
        sums_of_sums(tails) {
    std::copy(poisson.weight.begin(), poisson.weight.end(), weights.begin() + poisson.first);
    long double tail = 0;  // of thousands of weights, but to be as exact as one
    for (size_t k = weights.size(); k-- > 0;) {
      tail += weights[k];
      tails[k] = static_cast<double>(tail);
      sums[k] = sums[k + 1] + tails[k];
      sums_of_sums[k] = sums_of_sums[k + 1] + sums[k];
    }
  }
  int64_t last() const { return static_cast<int64_t>(weights.size()) - 1; }

  std::vector<double> weights, tails, sums, sums_of_sums;
};

template <typename T>
Uniformization<T>::Uniformization(runtime::BufferPool& pool, const Matrix<const T>& g, const UniformRates& rates,
                                  int64_t p, UniformProducts kind)
    : g_(g),
      rates_(rates),
      kind_(kind),
      rows_(g.rows, g.rows, pool),
      value_(g.rows, p, pool),
      next_value_(g.rows, p, pool),
      sum_(g.rows, p, pool),
      sum_rest_(g.rows, p, pool),
      diagonal_rests_(static_cast<size_t>(ColumnPanels::PaddedRows(g.rows)), 0),
      most_entries_(diagonal_rests_.size() / kPackedRows, 0) {
  largest_.resize(static_cast<size_t>(rows_.Tiles(p)));
  if (kind == UniformProducts::kPlain) return;
  row_rests_.emplace(g.rows, g.rows, pool);
  for (std::optional<ColumnPanels>* panels : {&grid_, &rest_, &next_grid_, &next_rest_}) {
    panels->emplace(g.rows, p, pool);
  }
}

template <typename T>
double Uniformization<T>::Bytes(int64_t n, int64_t p, UniformProducts kind) {
  const bool splits = kind == UniformProducts::kSplit;
  return (splits ? 2 : 1) * PackedMatrix::Bytes(n, n) +
         (splits ? 8 : 4) * 8.0 * static_cast<double>(ColumnPanels::Entries(n, p));
}

template <typename T>
absl::Status Uniformization<T>::Run(runtime::Executor& executor) {
  const double steps = std::max(1.0, std::ceil(rates_.rate_time / kMaxRatePerStep));
  const Tails tails(PoissonWeightsFor(rates_.rate_time / steps));
  if (auto done = FillMatrix(executor); !done.ok()) return done;
  bool steady = false;
  for (double step = 0; step < steps && !steady; ++step) {
    StartStep();
    if (auto done = Step(executor, tails, steps - 1 - step, steady); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
DoubleDouble Uniformization<T>::Diagonal(int64_t i) const {
  return DoubleDouble{rates_.rate, 0} + -rates_.row[static_cast<size_t>(i)];
}

template <typename T>
absl::Status Uniformization<T>::FillMatrix(runtime::Executor& executor) {
  rows_.ZeroPadding();
  if (row_rests_) row_rests_->ZeroPadding();
  const auto groups = static_cast<int64_t>(most_entries_.size());
  return executor.ForEachTile(groups, static_cast<double>(kPackedRows * g_.rows), [&](int64_t group, int) {
    FillRows(group * kPackedRows);
    return absl::OkStatus();
  });
}

// Rows of q P = G + q I from `begin` on, as many as are packed together.
template <typename T>
void Uniformization<T>::FillRows(int64_t begin) {
  constexpr int64_t kColumns = 8;  // a cache line of each row
  const int64_t n = g_.rows;
  const int64_t count = std::min(kPackedRows, n - begin);
  int64_t entries[kPackedRows] = {};
  double* to = &rows_.at(begin, 0);
  double* to_rest = row_rests_ ? &row_rests_->at(begin, 0) : nullptr;
  for (int64_t first = 0; first < n; first += kColumns) {
    for (int64_t i = 0; i < count; ++i) {
      const T* from = g_.row(begin + i);
      for (int64_t j = first; j < std::min(n, first + kColumns); ++j) {
        const double entry = rates_.g_unit(static_cast<double>(from[j]));
        const double high = to_rest == nullptr ? entry : RoundToGrid(entry);
        to[j * kPackedRows + i] = high;
        if (to_rest != nullptr) to_rest[j * kPackedRows + i] = entry - high;
        entries[i] += from[j] != 0;
      }
    }
  }
  for (int64_t i = begin; i < begin + count; ++i) {
    const DoubleDouble diagonal = Diagonal(i);
    diagonal_rests_[static_cast<size_t>(i)] = diagonal.lo;
    const double high = row_rests_ ? RoundToGrid(diagonal.hi) : diagonal.hi;
    rows_.at(i, i) = high;
    if (row_rests_) row_rests_->at(i, i) = (diagonal.hi - high) + diagonal.lo;
  }
  most_entries_[static_cast<size_t>(begin / kPackedRows)] = *std::max_element(entries, entries + count) + 1;
}

template <typename T>
void Uniformization<T>::StartStep() {
  const int64_t size = sum_.size();
  if (kind_ == UniformProducts::kSplit) {
    SplitOnGrid(size, sum_.data(), sum_rest_.data(), grid_->data(), rest_->data(), value_.data());
  } else {
    for (int64_t i = 0; i < size; ++i) value_.data()[i] = sum_.data()[i] + sum_rest_.data()[i];
  }
  sum_.SetZero();
  sum_rest_.SetZero();
}

template <typename T>
void Uniformization<T>::AddToSum(double weight) {
  AddWeighted(sum_.size(), weight, value_.data(), sum_.data(), sum_rest_.data());
}

// Units of roundoff of the largest |entry| of v that an entry of a plain product P v may lose: each term's and each
// partial sum's rounding counts what P, whose rows sum to 1, gives it; and that of the diagonal and the quotient.
template <typename T>
double Uniformization<T>::ProductRounding() const {
  return static_cast<double>(*std::max_element(most_entries_.begin(), most_entries_.end())) + 8;
}

template <typename T>
absl::Status Uniformization<T>::Step(runtime::Executor& executor, const Tails& tails, double steps_after,
                                     bool& steady) {
  AddToSum(tails.weights[0]);
  for (int64_t k = 1; k <= tails.last(); ++k) {
    const auto next = static_cast<size_t>(k + 1);
    double change = 0;
    const double weight = tails.weights[static_cast<size_t>(k)];
    const absl::Status done = kind_ == UniformProducts::kSplit ? AdvanceSplit(executor, weight, change)
                                                               : AdvancePlain(executor, weight, true, change);
    if (!done.ok()) return done;
    // No later change is larger, and each counts as often as its term or a later one is reached.
    if (change * (tails.sums[next] + steps_after * tails.sums[1]) <= kNegligible<T>) {
      steady = true;
      AddToSum(tails.tails[next]);
      return absl::OkStatus();
    }
    // What product i of the changes rounds stays in all that follow.
    const double rounding = ProductRounding() * kUnit * change * tails.sums_of_sums[next];
    if (kind_ == UniformProducts::kSplit && steps_after == 0 && k < tails.last() && rounding <= kMostRounding) {
      return FinishPlainly(executor, tails, k);
    }
  }
  return absl::OkStatus();
}

// The terms after k, of the change from k - 1 to k.
template <typename T>
absl::Status Uniformization<T>::FinishPlainly(runtime::Executor& executor, const Tails& tails, int64_t k) {
  AddToSum(tails.tails[static_cast<size_t>(k + 1)]);
  if (auto done = rows_.Add(executor, *row_rests_); !done.ok()) return done;
  for (int64_t i = 0; i < value_.size(); ++i) {
    value_.data()[i] = (grid_->data()[i] - next_grid_->data()[i]) + (rest_->data()[i] - next_rest_->data()[i]);
  }
  for (int64_t i = k + 1; i <= tails.last(); ++i) {
    double largest = 0;
    const auto index = static_cast<size_t>(i);
    if (auto done = AdvancePlain(executor, tails.tails[index], false, largest); !done.ok()) return done;
    if (largest * tails.sums[index + 1] <= kNegligible<T>) return absl::OkStatus();
  }
  return absl::OkStatus();
}

// v = P v by tiles: work(tile, panel's term with all but its weight) returns the largest of what it looks at.
template <typename T>
template <typename Work>
absl::Status Uniformization<T>::Advance(runtime::Executor& executor, const Work& work, double& largest) {
  ++products_;
  const int products = row_rests_ ? 3 : 1;
  auto done = rows_.ForEachTile(executor, value_.cols(), products, [&](const PackedTile& tile) {
    double& found = largest_[static_cast<size_t>(tile.index)];
    found = 0;
    work(
        tile,
        [&](int64_t panel) {
          UniformTerm term;
          term.rows = tile.end - tile.begin;
          term.width = value_.width(panel);
          term.rate = rates_.rate;
          term.before = value_.at(panel, tile.begin);
          term.value = next_value_.at(panel, tile.begin);
          term.sum = sum_.at(panel, tile.begin);
          term.rest = sum_rest_.at(panel, tile.begin);
          return term;
        },
        found);
  });
  std::swap(value_, next_value_);
  largest = *std::max_element(largest_.begin(), largest_.end());
  return done;
}

template <typename T>
absl::Status Uniformization<T>::AdvancePlain(runtime::Executor& executor, double weight, bool of_change,
                                             double& largest) {
  const auto work = [&](const PackedTile& tile, const auto& term_of, double& found) {
    rows_.MultiplyTile(value_, tile, PackedMatrix::To::kSet, next_value_);
    for (int64_t panel = tile.first_panel; panel < tile.last_panel; ++panel) {
      UniformTerm term = term_of(panel);
      term.weight = weight;
      const double* rests = diagonal_rests_.data() + tile.begin;
      found = std::max(found, of_change ? AddUniformTerm(term, rests) : AddSmallUniformTerm(term, rests));
    }
  };
  return Advance(executor, work, largest);
}

template <typename T>
absl::Status Uniformization<T>::AdvanceSplit(runtime::Executor& executor, double weight, double& largest) {
  const auto work = [&](const PackedTile& tile, const auto& term_of, double& found) {
    rows_.MultiplyTile(*grid_, tile, PackedMatrix::To::kSet, *next_grid_);
    rows_.MultiplyTile(*rest_, tile, PackedMatrix::To::kSet, *next_rest_);
    row_rests_->MultiplyTile(value_, tile, PackedMatrix::To::kAdd, *next_rest_);
    for (int64_t panel = tile.first_panel; panel < tile.last_panel; ++panel) {
      UniformTerm term = term_of(panel);
      term.weight = weight;
      found = std::max(found,
                       AddSplitUniformTerm(term, next_grid_->at(panel, tile.begin), next_rest_->at(panel, tile.begin)));
    }
  };
  const absl::Status done = Advance(executor, work, largest);
  std::swap(grid_, next_grid_);
  std::swap(rest_, next_rest_);
  return done;
}

template class Uniformization<float>;
template class Uniformization<double>;

}  // namespace attend::compute
