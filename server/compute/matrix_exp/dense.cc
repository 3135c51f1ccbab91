#include "server/compute/matrix_exp/dense.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/norms.h"

namespace attend::compute {

template <typename T>
int LoadScaled(const Matrix<const T>& a, const Matrix<double>& to) {
  int exponent = 0;
  std::frexp(MaxAbs(a), &exponent);
  const PowerOfTwo to_unit(-exponent);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) to.row(i)[j] = to_unit(static_cast<double>(a.row(i)[j]));
  }
  return exponent;
}

template <typename T>
void Load(const Matrix<const T>& a, const Matrix<double>& to) {
  for (int64_t i = 0; i < a.rows; ++i) std::copy_n(a.row(i), a.cols, to.row(i));
}

template <typename T>
bool Store(const Matrix<double>& a, int64_t exponent, const Matrix<T>& to) {
  const PowerOfTwo scale(static_cast<int>(std::clamp<int64_t>(exponent, -2000, 2000)));
  bool fits = true;
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      const double entry = a.row(i)[j] == 0 ? 0 : scale(a.row(i)[j]);
      to.row(i)[j] = static_cast<T>(entry);
      fits = fits && std::fabs(to.row(i)[j]) <= std::numeric_limits<T>::max();
    }
  }
  return fits;
}

void SetZero(const Matrix<double>& a) {
  for (int64_t i = 0; i < a.rows; ++i) std::fill_n(a.row(i), a.cols, 0.0);
}

template int LoadScaled(const Matrix<const float>&, const Matrix<double>&);
template int LoadScaled(const Matrix<const double>&, const Matrix<double>&);
template void Load(const Matrix<const float>&, const Matrix<double>&);
template void Load(const Matrix<const double>&, const Matrix<double>&);
template bool Store(const Matrix<double>&, int64_t, const Matrix<float>&);
template bool Store(const Matrix<double>&, int64_t, const Matrix<double>&);

}  // namespace attend::compute
