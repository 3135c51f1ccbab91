#include "server/compute/project/normalized.h"

#include <algorithm>
#include <cmath>

#include "server/compute/project/magnitude.h"

namespace attend::compute {
namespace {

// 2^-exponent in two factors: one alone may be out of range.
struct Factors {
  explicit Factors(int exponent)
      : first(std::ldexp(1.0, -exponent / 2)), second(std::ldexp(1.0, -exponent - -exponent / 2)) {}
  double first, second;
  double Apply(double x) const { return x * first * second; }
};

}  // namespace

template <typename T>
int NormalizingExponent(const T* a, int64_t count) {
  const double largest = LargestMagnitude(a, count);
  return largest > 0 ? std::ilogb(largest) : 0;
}

template <typename T>
void Normalize(const T* a, int64_t count, int exponent, double* to) {
  const Factors factors(exponent);
  for (int64_t i = 0; i < count; ++i) to[i] = factors.Apply(static_cast<double>(a[i]));
}

template <typename T>
void NormalizeTransposed(const T* a, int64_t rows, int64_t cols, int exponent, double* to) {
  constexpr int64_t kBlock = 32;
  const Factors factors(exponent);
  for (int64_t row = 0; row < rows; row += kBlock) {
    for (int64_t col = 0; col < cols; col += kBlock) {
      for (int64_t j = col; j < std::min(cols, col + kBlock); ++j) {
        for (int64_t i = row; i < std::min(rows, row + kBlock); ++i) {
          to[j * rows + i] = factors.Apply(static_cast<double>(a[i * cols + j]));
        }
      }
    }
  }
}

template int NormalizingExponent(const float*, int64_t);
template int NormalizingExponent(const double*, int64_t);
template void Normalize(const float*, int64_t, int, double*);
template void Normalize(const double*, int64_t, int, double*);
template void NormalizeTransposed(const float*, int64_t, int64_t, int, double*);
template void NormalizeTransposed(const double*, int64_t, int64_t, int, double*);

}  // namespace attend::compute
