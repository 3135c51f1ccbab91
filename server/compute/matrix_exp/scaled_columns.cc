#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/taylor_action.h"

namespace attend::compute {

template <typename T>
void ScaledColumns::LoadFrom(const Matrix<const T>& b) {
  Load(b, values.view());
  std::fill(exponents.begin(), exponents.end(), 0);
  Normalize();
}

void ScaledColumns::Normalize() {
  const Matrix<double> v = values.view();
  std::vector<double> scales(exponents.size(), 0);
  for (int64_t i = 0; i < v.rows; ++i) {
    for (int64_t j = 0; j < v.cols; ++j) {
      scales[static_cast<size_t>(j)] = std::max(scales[static_cast<size_t>(j)], std::fabs(v.row(i)[j]));
    }
  }
  // In two factors: one alone may exceed the range of double.
  std::vector<double> others(exponents.size(), 1);
  for (size_t j = 0; j < exponents.size(); ++j) {
    int exponent = 0;
    std::frexp(scales[j], &exponent);
    exponents[j] += exponent;
    scales[j] = std::ldexp(1.0, -exponent / 2);
    others[j] = std::ldexp(1.0, -exponent - -exponent / 2);
  }
  for (int64_t i = 0; i < v.rows; ++i) {
    for (int64_t j = 0; j < v.cols; ++j) v.row(i)[j] *= scales[static_cast<size_t>(j)] * others[static_cast<size_t>(j)];
  }
}

template <typename T>
bool ScaledColumns::StoreTo(long double exp_factor, const Matrix<T>& to) const {
  const ScaledNumber factor = ScaledExp(exp_factor);
  bool fits = true;
  for (int64_t j = 0; j < to.cols; ++j) {
    const int64_t exponent = exponents[static_cast<size_t>(j)] + factor.exponent;
    const PowerOfTwo scale(static_cast<int>(std::clamp<int64_t>(exponent, -2000, 2000)));
    for (int64_t i = 0; i < to.rows; ++i) {
      const double entry = values.view().row(i)[j] * factor.mantissa;
      to.row(i)[j] = static_cast<T>(entry == 0 ? 0 : scale(entry));
      fits = fits && std::fabs(to.row(i)[j]) <= std::numeric_limits<T>::max();
    }
  }
  return fits;
}

template void ScaledColumns::LoadFrom(const Matrix<const float>&);
template void ScaledColumns::LoadFrom(const Matrix<const double>&);
template bool ScaledColumns::StoreTo(long double, const Matrix<float>&) const;
template bool ScaledColumns::StoreTo(long double, const Matrix<double>&) const;

}  // namespace attend::compute
