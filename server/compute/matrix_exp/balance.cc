#include "server/compute/matrix_exp/balance.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/norms.h"

namespace attend::compute {
namespace {

constexpr double kWorthwhile = 64;
constexpr int kLargestExponent = 60;
constexpr int kMostSweeps = 20;

struct Sums {
  double row = 0;
  double column = 0;

  double ratio() const { return row > 0 && column > 0 ? column / row : 1; }
};

// Of row and column i of D^-1 A D, without the diagonal.
template <typename T>
Sums SumsOf(const Matrix<const T>& a, const std::vector<double>& scale, int64_t i) {
  Sums sums;
  for (int64_t j = 0; j < a.rows; ++j) {
    if (j == i) continue;
    const auto other = scale[static_cast<size_t>(j)];
    sums.row += std::fabs(static_cast<double>(a.row(i)[j])) * other;
    sums.column += std::fabs(static_cast<double>(a.row(j)[i])) / other;
  }
  sums.row /= scale[static_cast<size_t>(i)];
  sums.column *= scale[static_cast<size_t>(i)];
  return sums;
}

template <typename T>
bool IsUnbalanced(const Matrix<const T>& a) {
  std::vector<double> rows(static_cast<size_t>(a.rows));
  std::vector<double> columns(rows.size());
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      if (i == j) continue;
      const double entry = std::fabs(static_cast<double>(a.row(i)[j]));
      rows[static_cast<size_t>(i)] += entry;
      columns[static_cast<size_t>(j)] += entry;
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    const double ratio = Sums{rows[i], columns[i]}.ratio();
    if (ratio > kWorthwhile || ratio < 1 / kWorthwhile) return true;
  }
  return false;
}

// One pass over all rows; whether any scale changed.
template <typename T>
bool Sweep(const Matrix<const T>& a, std::vector<int>& exponents, std::vector<double>& scale) {
  bool changed = false;
  for (int64_t i = 0; i < a.rows; ++i) {
    const Sums sums = SumsOf(a, scale, i);
    const double ratio = sums.ratio();
    // The column is multiplied by f, the row divided by it; f^2 next to 1 / ratio.
    const int shift = static_cast<int>(std::lround(-std::log2(ratio) / 2));
    const double f = std::ldexp(1.0, shift);
    if (shift == 0 || sums.column * f + sums.row / f >= 0.95 * (sums.column + sums.row)) continue;
    const auto index = static_cast<size_t>(i);
    if (std::abs(exponents[index] + shift) > kLargestExponent) continue;
    exponents[index] += shift;
    scale[index] *= f;
    changed = true;
  }
  return changed;
}

template <typename T>
double BalancedNorm(const Matrix<const T>& a, const std::vector<double>& scale) {
  std::vector<double> columns(scale.size());
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      const auto column = static_cast<size_t>(j);
      columns[column] += std::fabs(static_cast<double>(a.row(i)[j])) * scale[column] / scale[static_cast<size_t>(i)];
    }
  }
  return *std::max_element(columns.begin(), columns.end());
}

}  // namespace

template <typename T>
std::vector<int> BalanceExponents(const Matrix<const T>& a) {
  constexpr double kHarmless = 8;
  if (a.rows < 2 || !IsUnbalanced(a)) return {};
  std::vector<int> exponents(static_cast<size_t>(a.rows));
  std::vector<double> scale(exponents.size(), 1.0);
  for (int sweep = 0; sweep < kMostSweeps && Sweep(a, exponents, scale); ++sweep) {
  }
  const auto [least, most] = std::minmax_element(scale.begin(), scale.end());
  if (*most / *least * BalancedNorm(a, scale) > kHarmless * NormOne(a)) return {};
  return exponents;
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

template std::vector<int> BalanceExponents(const Matrix<const float>&);
template std::vector<int> BalanceExponents(const Matrix<const double>&);
template void Balance(const std::vector<int>&, const Matrix<float>&);
template void Balance(const std::vector<int>&, const Matrix<double>&);

}  // namespace attend::compute
