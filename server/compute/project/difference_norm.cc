#include "server/compute/project/difference_norm.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

// Outside of these a square may have left double's range, or most of its digits.
constexpr double kLeastSquare = 0x1p-900;
constexpr double kLargestSquare = 0x1p+1000;

// value(i) are the numbers; in lanes, so that the sum is several chains and vectorizes.
template <typename Value>
double SumOfSquares(int64_t count, Value value) {
  constexpr int kLanes = 8;
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sum[lane] += value(i + lane) * value(i + lane);
  }
  for (; i < count; ++i) sum[0] += value(i) * value(i);
  double total = 0;
  for (double each : sum) total += each;
  return total;
}

template <typename Value>
double NormOf(int64_t count, Value half) {  // half(i): half of each number, which cannot overflow
  const double square = 4 * SumOfSquares(count, half);
  if (kLeastSquare < square && square < kLargestSquare) return std::sqrt(square);
  double largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(half(i)));
  if (largest == 0 || !std::isfinite(largest)) return largest;
  const int exponent = std::ilogb(largest);
  const double scaled = SumOfSquares(count, [&](int64_t i) { return std::ldexp(half(i), -exponent); });
  return std::ldexp(std::sqrt(scaled), exponent + 1);
}

}  // namespace

template <typename T>
double DifferenceNorm(const T* a, const T* b, int64_t count) {
  if constexpr (sizeof(T) < sizeof(double)) {
    return std::sqrt(SumOfSquares(count, [&](int64_t i) { return static_cast<double>(a[i]) - b[i]; }));
  } else {
    const double square = SumOfSquares(count, [&](int64_t i) { return a[i] - b[i]; });
    if (kLeastSquare < square && square < kLargestSquare) return std::sqrt(square);
    // Halves of subnormal numbers would lose a bit; their differences are exact and far from overflow.
    return NormOf(count, [&](int64_t i) {
      const double difference = a[i] - b[i];
      return std::isfinite(difference) ? difference / 2 : a[i] / 2 - b[i] / 2;
    });
  }
}

double Norm(const double* values, int64_t count) {
  const double square = SumOfSquares(count, [&](int64_t i) { return values[i]; });
  if (kLeastSquare < square && square < kLargestSquare) return std::sqrt(square);
  return NormOf(count, [&](int64_t i) { return values[i] / 2; });
}

template double DifferenceNorm(const float*, const float*, int64_t);
template double DifferenceNorm(const double*, const double*, int64_t);

}  // namespace attend::compute
