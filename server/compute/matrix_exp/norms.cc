#include "server/compute/matrix_exp/norms.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace attend::compute {

template <typename T>
double NormOne(const Matrix<const T>& a) {
  // Row by row through bands of columns whose sums stay in the cache.
  constexpr int64_t kBand = 256;
  double largest = 0;
  for (int64_t begin = 0; begin < a.cols; begin += kBand) {
    std::array<double, kBand> sums{};
    const int64_t width = std::min(kBand, a.cols - begin);
    for (int64_t i = 0; i < a.rows; ++i) {
      const T* row = a.row(i) + begin;
      for (int64_t j = 0; j < width; ++j) sums[static_cast<size_t>(j)] += std::fabs(static_cast<double>(row[j]));
    }
    largest = std::max(largest, *std::max_element(sums.begin(), sums.begin() + width));
  }
  return largest;
}

template <typename T>
double MaxAbs(const Matrix<const T>& a) {
  T largest = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    const T* row = a.row(i);
    for (int64_t j = 0; j < a.cols; ++j) largest = std::fabs(row[j]) > largest ? std::fabs(row[j]) : largest;
  }
  return static_cast<double>(largest);
}

template double NormOne(const Matrix<const float>&);
template double NormOne(const Matrix<const double>&);
template double MaxAbs(const Matrix<const float>&);
template double MaxAbs(const Matrix<const double>&);

}  // namespace attend::compute
