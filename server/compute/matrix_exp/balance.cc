#include "server/compute/matrix_exp/balance.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/panels.h"

namespace attend::compute {
namespace {

constexpr double kWorthwhile = 16;
constexpr int kMostSweeps = 20;

// Sums of entries and their scales need more room than double has.
using Wide = long double;
static_assert(std::numeric_limits<Wide>::max_exponent > 8 * kMostBalance);

// What a row and its column add up to without the diagonal.
struct Sums {
  Wide row = 0;
  Wide column = 0;

  Wide ratio() const { return row > 0 && column > 0 ? column / row : 1; }
};

template <typename T>
class Balancer {
 public:
  Balancer(const Matrix<const T>& a, int exponent)
      : a_(a), to_high_(kHigh - exponent), exponents_(static_cast<size_t>(a.rows)), scale_(exponents_.size(), 1.0) {
    for (int64_t i = 0; i < a.rows; ++i) diagonal_ = std::max(diagonal_, Entry(i, i));
  }

  absl::Status Compare(runtime::Executor& executor, bool& is_worthwhile) const {
    std::vector<double> columns(scale_.size());
    std::vector<double> rows(scale_.size());
    auto done = ForEachPanel(executor, a_.rows, a_.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) rows[static_cast<size_t>(i)] = RowSum(i);
    });
    if (!done.ok()) return done;
    done = ForEachBand(executor, a_.rows, a_.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = 0; i < a_.rows; ++i) {
        for (int64_t j = begin; j < end; ++j) columns[static_cast<size_t>(j)] += i == j ? 0 : HighEntry(i, j);
      }
    });
    if (!done.ok()) return done;
    is_worthwhile = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      const Wide ratio = Completed({rows[i], columns[i]}, to_high_(diagonal_)).ratio();
      is_worthwhile = is_worthwhile || ratio > kWorthwhile || ratio < 1 / kWorthwhile;
    }
    return absl::OkStatus();
  }

  // One pass over all rows; whether any scale changed.
  absl::Status Sweep(runtime::Executor& executor, bool& changed) {
    changed = false;
    constexpr int64_t kReads = 8;  // an entry of a column takes about as long as these of a row
    return ForEachPanelInOrder(executor, a_.rows, kReads * a_.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) changed = Adjust(i) || changed;
    });
  }

  const std::vector<int>& exponents() const { return exponents_; }

 private:
  double Entry(int64_t i, int64_t j) const { return std::fabs(static_cast<double>(a_.row(i)[j])); }
  double HighEntry(int64_t i, int64_t j) const { return to_high_(Entry(i, j)); }

  double RowSum(int64_t i) const {
    double sum = 0;
    for (int64_t j = 0; j < a_.cols; ++j) sum += i == j ? 0 : HighEntry(i, j);
    return sum;
  }

  // Whether the scale of row and column i changed.
  bool Adjust(int64_t i) {
    const Sums sums = Completed(SumsOf(i), diagonal_);
    // The column is multiplied by f, the row divided by it; f^2 next to row / column.
    const auto index = static_cast<size_t>(i);
    const auto wanted = static_cast<int>(std::lround(-std::log2(sums.ratio()) / 2));
    const int shift = std::clamp(exponents_[index] + wanted, -kMostBalance, kMostBalance) - exponents_[index];
    const Wide f = std::ldexp(Wide{1}, shift);
    if (shift == 0 || sums.column * f + sums.row / f >= 0.95L * (sums.column + sums.row)) return false;
    exponents_[index] += shift;
    scale_[index] *= f;
    return true;
  }

  // Nothing holds a row back whose column is empty, or the other way round: it need not be less than the diagonal.
  static Sums Completed(Sums sums, Wide diagonal) {
    if (sums.row == 0) sums.row = std::min(sums.column, diagonal);
    if (sums.column == 0) sums.column = std::min(sums.row, diagonal);
    return sums;
  }

  // Of row and column i of D^-1 A D.
  Sums SumsOf(int64_t i) const {
    Sums sums;
    for (int64_t j = 0; j < a_.rows; ++j) {
      if (j == i) continue;
      const Wide other = scale_[static_cast<size_t>(j)];
      sums.row += Entry(i, j) * other;
      sums.column += Entry(j, i) / other;
    }
    sums.row /= scale_[static_cast<size_t>(i)];
    sums.column *= scale_[static_cast<size_t>(i)];
    return sums;
  }

  const Matrix<const T>& a_;
  static constexpr int kHigh = 900;  // the largest entry is near 2 to this: few of the others underflow
  const PowerOfTwo to_high_;
  std::vector<int> exponents_;
  std::vector<Wide> scale_;  // 2^exponents
  double diagonal_ = 0;      // the largest
};

}  // namespace

template <typename T>
absl::Status BalanceExponents(runtime::Executor& executor, const Matrix<const T>& a, int exponent,
                              std::vector<int>& exponents) {
  exponents.clear();
  Balancer<T> balancer(a, exponent);
  bool goes_on = false;
  if (auto done = balancer.Compare(executor, goes_on); !done.ok() || !goes_on) return done;
  for (int sweep = 0; sweep < kMostSweeps && goes_on; ++sweep) {
    if (auto done = balancer.Sweep(executor, goes_on); !done.ok()) return done;
  }
  exponents = balancer.exponents();
  return absl::OkStatus();
}

template <typename T>
absl::Status Balance(runtime::Executor& executor, const std::vector<int>& exponents, const Matrix<const T>& a,
                     const Matrix<T>& c, int& scale) {
  const auto shift = [&](int64_t i, int64_t j) {
    return exponents[static_cast<size_t>(j)] - exponents[static_cast<size_t>(i)];
  };
  std::vector<int> largest(static_cast<size_t>(a.rows), std::numeric_limits<int>::min());
  auto done = ForEachPanel(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int& of_row = largest[static_cast<size_t>(i)];
      for (int64_t j = 0; j < a.cols; ++j) {
        if (a.row(i)[j] != 0) of_row = std::max(of_row, std::ilogb(a.row(i)[j]) + 1 + shift(i, j));
      }
    }
  });
  if (!done.ok()) return done;
  scale = *std::max_element(largest.begin(), largest.end());
  if (scale == std::numeric_limits<int>::min()) scale = 0;
  return ForEachPanel(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < a.cols; ++j) {
        // Beyond these an entry is zero, or as good as zero beside the largest.
        const PowerOfTwo to_unit(std::clamp(shift(i, j) - scale, -2000, 2000));
        c.row(i)[j] = static_cast<T>(to_unit(static_cast<double>(a.row(i)[j])));
      }
    }
  });
}

template absl::Status BalanceExponents(runtime::Executor&, const Matrix<const float>&, int, std::vector<int>&);
template absl::Status BalanceExponents(runtime::Executor&, const Matrix<const double>&, int, std::vector<int>&);
template absl::Status Balance(runtime::Executor&, const std::vector<int>&, const Matrix<const float>&,
                              const Matrix<float>&, int&);
template absl::Status Balance(runtime::Executor&, const std::vector<int>&, const Matrix<const double>&,
                              const Matrix<double>&, int&);

}  // namespace attend::compute
