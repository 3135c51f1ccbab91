#include "server/compute/project/zero_mean.h"

#include <algorithm>
#include <cmath>

#include "server/compute/project/compensated_sum.h"
#include "server/compute/project/magnitude.h"

namespace attend::compute {
namespace {

template <typename T>
double SumOf(const T* values, int64_t n, double scale) {
  CompensatedSum sum;
  sum.Add(values, n, scale);
  const DoubleDouble total = sum.Total();
  return total.high + total.low;
}

// Moves the largest entries by `unit` each until what is left of their sum is at most half of it.
template <typename T>
void SettleSum(T* values, int64_t n, double scale, double largest) {
  const double unit = UnitInLastPlace<T>(largest);
  double left = SumOf(values, n, scale);
  while (std::abs(left) > unit * scale / 2) {
    const double step = std::copysign(unit, left);
    for (int64_t j = 0; j < n && std::abs(left) > unit * scale / 2; ++j) {
      if (static_cast<double>(std::abs(values[j])) < largest / 2) continue;
      values[j] = static_cast<T>(static_cast<double>(values[j]) - step);
      left -= step * scale;
    }
  }
}

}  // namespace

template <typename T>
void ZeroMean(const T* x, int64_t n, T* out) {
  const double largest = LargestMagnitude(x, n);
  const double scale = SafeScale<T>(largest);
  CompensatedSum sum;
  sum.Add(x, n, scale);
  const DoubleDouble total = sum.Total();
  if (std::abs(total.high) <= UnitInLastPlace<T>(largest) * scale / 2) {
    std::copy_n(x, n, out);
    return;
  }
  const DoubleDouble mean = Quotient(total, static_cast<double>(n));
  for (int64_t j = 0; j < n; ++j) {
    out[j] = static_cast<T>(Difference(static_cast<double>(x[j]) * scale, mean) / scale);
  }
  const double largest_out = LargestMagnitude(out, n);
  if (std::isfinite(largest_out)) SettleSum(out, n, scale, largest_out);
}

template void ZeroMean(const float*, int64_t, float*);
template void ZeroMean(const double*, int64_t, double*);

}  // namespace attend::compute
