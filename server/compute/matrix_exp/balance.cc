#include "server/compute/matrix_exp/balance.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/panels.h"

namespace attend::compute {
namespace {

constexpr double kWorthwhile = 16;
constexpr int kLargestExponent = 60;
constexpr int kMostSweeps = 20;

// What a row and its column add up to without the diagonal.
struct Sums {
  double row = 0;
  double column = 0;

  double ratio() const { return row > 0 && column > 0 ? column / row : 1; }
};

template <typename T>
class Balancer {
 public:
  Balancer(const Matrix<const T>& a, int exponent)
      : a_(a), to_unit_(-exponent), exponents_(static_cast<size_t>(a.rows)), scale_(exponents_.size(), 1.0) {
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
        for (int64_t j = begin; j < end; ++j) columns[static_cast<size_t>(j)] += i == j ? 0 : Entry(i, j);
      }
    });
    if (!done.ok()) return done;
    is_worthwhile = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      const double ratio = Completed({rows[i], columns[i]}).ratio();
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
  double Entry(int64_t i, int64_t j) const { return std::fabs(to_unit_(static_cast<double>(a_.row(i)[j]))); }

  double RowSum(int64_t i) const {
    double sum = 0;
    for (int64_t j = 0; j < a_.cols; ++j) sum += i == j ? 0 : Entry(i, j);
    return sum;
  }

  // Whether the scale of row and column i changed.
  bool Adjust(int64_t i) {
    const Sums sums = Completed(SumsOf(i));
    // The column is multiplied by f, the row divided by it; f^2 next to row / column.
    const int shift = static_cast<int>(std::lround(-std::log2(sums.ratio()) / 2));
    const double f = std::ldexp(1.0, shift);
    if (shift == 0 || sums.column * f + sums.row / f >= 0.95 * (sums.column + sums.row)) return false;
    const auto index = static_cast<size_t>(i);
    if (std::abs(exponents_[index] + shift) > kLargestExponent) return false;
    exponents_[index] += shift;
    scale_[index] *= f;
    return true;
  }

  // Nothing holds a row back whose column is empty, or the other way round: it need not be less than the diagonal.
  Sums Completed(Sums sums) const {
    if (sums.row == 0) sums.row = std::min(sums.column, diagonal_);
    if (sums.column == 0) sums.column = std::min(sums.row, diagonal_);
    return sums;
  }

  // Of row and column i of D^-1 A D.
  Sums SumsOf(int64_t i) const {
    Sums sums;
    for (int64_t j = 0; j < a_.rows; ++j) {
      if (j == i) continue;
      const double other = scale_[static_cast<size_t>(j)];
      sums.row += Entry(i, j) * other;
      sums.column += Entry(j, i) / other;
    }
    sums.row /= scale_[static_cast<size_t>(i)];
    sums.column *= scale_[static_cast<size_t>(i)];
    return sums;
  }

  const Matrix<const T>& a_;
  const PowerOfTwo to_unit_;
  std::vector<int> exponents_;
  std::vector<double> scale_;  // 2^exponents
  double diagonal_ = 0;        // the largest
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
absl::Status Balance(runtime::Executor& executor, const std::vector<int>& exponents, const Matrix<T>& a) {
  return ForEachPanel(executor, a.rows, a.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < a.cols; ++j) {
        const PowerOfTwo scale(exponents[static_cast<size_t>(j)] - exponents[static_cast<size_t>(i)]);
        a.row(i)[j] = static_cast<T>(scale(static_cast<double>(a.row(i)[j])));
      }
    }
  });
}

template absl::Status BalanceExponents(runtime::Executor&, const Matrix<const float>&, int, std::vector<int>&);
template absl::Status BalanceExponents(runtime::Executor&, const Matrix<const double>&, int, std::vector<int>&);
template absl::Status Balance(runtime::Executor&, const std::vector<int>&, const Matrix<float>&);
template absl::Status Balance(runtime::Executor&, const std::vector<int>&, const Matrix<double>&);

}  // namespace attend::compute
