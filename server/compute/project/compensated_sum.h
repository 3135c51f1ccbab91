// Sums that lose nothing to cancellation: of n numbers, to about n * 2^-105 of the sum of their magnitudes.
// Not thread-safe; distinct objects are independent.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_COMPENSATED_SUM_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_COMPENSATED_SUM_H_

#include <cmath>
#include <cstdint>

namespace attend::compute {

// high + low, |low| at most half a unit in the last place of high.
struct DoubleDouble {
  double high = 0;
  double low = 0;
};

// a + b and what its rounding lost (Knuth).
inline DoubleDouble TwoSum(double a, double b) {
  const double sum = a + b;
  const double from_b = sum - a;
  return {sum, (a - (sum - from_b)) + (b - from_b)};
}

// x / divisor, without its rounding.
inline DoubleDouble Quotient(DoubleDouble x, double divisor) {
  const double high = x.high / divisor;
  return {high, (std::fma(-high, divisor, x.high) + x.low) / divisor};
}

// a - b, rounded once or nearly so.
inline double Difference(double a, DoubleDouble b) {
  const DoubleDouble difference = TwoSum(a, -b.high);
  return difference.high + (difference.low - b.low);
}

class CompensatedSum {
 public:
  // Adds values[i] * scale. `scale` is a power of two (exact).
  template <typename T>
  void Add(const T* values, int64_t count, double scale = 1) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) AddTo(lane, static_cast<double>(values[i + lane]) * scale);
    }
    for (int lane = 0; i < count; ++i, ++lane) AddTo(lane, static_cast<double>(values[i]) * scale);
  }
  void Add(double value) { AddTo(0, value); }

  DoubleDouble Total() const {
    DoubleDouble total;
    double lost = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      total = TwoSum(total.high, sum_[lane]);
      lost += total.low + lost_[lane];
    }
    return TwoSum(total.high, lost);
  }

 private:
  static constexpr int kLanes = 8;  // independent chains: vectors, and their latency hidden

  void AddTo(int lane, double value) {
    const DoubleDouble next = TwoSum(sum_[lane], value);
    sum_[lane] = next.high;
    lost_[lane] += next.low;
  }

  double sum_[kLanes] = {};
  double lost_[kLanes] = {};
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_COMPENSATED_SUM_H_
