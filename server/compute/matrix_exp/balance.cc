#include "server/compute/matrix_exp/balance.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/double_double.h"

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

  bool IsWorthwhile() const {
    std::vector<double> columns(scale_.size());
    std::vector<double> rows(scale_.size());
    for (int64_t i = 0; i < a_.rows; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < a_.cols; ++j) {
        const double entry = i == j ? 0 : Entry(i, j);
        sum += entry;
        columns[static_cast<size_t>(j)] += entry;
      }
      rows[static_cast<size_t>(i)] = sum;
    }
    for (size_t i = 0; i < rows.size(); ++i) {
      const double ratio = Completed({rows[i], columns[i]}).ratio();
      if (ratio > kWorthwhile || ratio < 1 / kWorthwhile) return true;
    }
    return false;
  }

  // One pass over all rows; whether any scale changed.
  bool Sweep() {
    bool changed = false;
    for (int64_t i = 0; i < a_.rows; ++i) {
      const Sums sums = Completed(SumsOf(i));
      // The column is multiplied by f, the row divided by it; f^2 next to row / column.
      const int shift = static_cast<int>(std::lround(-std::log2(sums.ratio()) / 2));
      const double f = std::ldexp(1.0, shift);
      if (shift == 0 || sums.column * f + sums.row / f >= 0.95 * (sums.column + sums.row)) continue;
      const auto index = static_cast<size_t>(i);
      if (std::abs(exponents_[index] + shift) > kLargestExponent) continue;
      exponents_[index] += shift;
      scale_[index] *= f;
      changed = true;
    }
    return changed;
  }

  const std::vector<int>& exponents() const { return exponents_; }

 private:
  double Entry(int64_t i, int64_t j) const { return std::fabs(to_unit_(static_cast<double>(a_.row(i)[j]))); }

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
std::vector<int> BalanceExponents(const Matrix<const T>& a, int exponent) {
  Balancer<T> balancer(a, exponent);
  if (!balancer.IsWorthwhile()) return {};
  for (int sweep = 0; sweep < kMostSweeps && balancer.Sweep(); ++sweep) {
  }
  return balancer.exponents();
}

template <typename T>
void Balance(const std::vector<int>& exponents, const Matrix<T>& a) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      const PowerOfTwo scale(exponents[static_cast<size_t>(j)] - exponents[static_cast<size_t>(i)]);
      a.row(i)[j] = static_cast<T>(scale(static_cast<double>(a.row(i)[j])));
    }
  }
}

template std::vector<int> BalanceExponents(const Matrix<const float>&, int);
template std::vector<int> BalanceExponents(const Matrix<const double>&, int);
template void Balance(const std::vector<int>&, const Matrix<float>&);
template void Balance(const std::vector<int>&, const Matrix<double>&);

}  // namespace attend::compute
