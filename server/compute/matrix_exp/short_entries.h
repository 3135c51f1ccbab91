// Whether products of a matrix round at all. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHORT_ENTRIES_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHORT_ENTRIES_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>

namespace attend::compute {

// Whether powers 2 to k of a [n, n], rows `stride` apart, are exact in T in any order of summation: all entries are
// multiples of one number, so few times that, that sums of their products have no more digits than T. `largest` bounds
// the entries and is far from over- and underflow. A pass that ends with the first entry that is not.
template <typename T>
bool HasExactPowers(int64_t n, const T* a, int64_t stride, double largest, int k) {
  int exponent = 0;
  std::frexp(largest, &exponent);
  const int terms = (k - 1) * static_cast<int>(std::ceil(std::log2(static_cast<double>(n))));
  const int bits = (std::numeric_limits<T>::digits - terms) / k;
  if (bits < 1) return false;
  const double scale = std::ldexp(1.0, bits - exponent);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double entry = static_cast<double>(a[i * stride + j]) * scale;
      if (entry != std::rint(entry)) return false;
    }
  }
  return true;
}

// The greatest odd number that all entries of a [n, n], contiguous, are multiples of, each in units of its own power of
// two: what remains without it may have few digits where a has all. 1 where it finds none, mostly after a few entries.
// REQUIRES: a is finite.
template <typename T>
T CommonOddFactor(int64_t n, const T* a) {
  uint64_t common = 0;
  for (int64_t i = 0; i < n * n && common != 1; ++i) {
    int exponent = 0;
    auto odd =
        static_cast<uint64_t>(std::ldexp(std::frexp(std::fabs(a[i]), &exponent), std::numeric_limits<T>::digits));
    while (odd != 0 && odd % 2 == 0) odd /= 2;
    common = std::gcd(common, odd);
  }
  return common == 0 ? T{1} : static_cast<T>(common);
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHORT_ENTRIES_H_
