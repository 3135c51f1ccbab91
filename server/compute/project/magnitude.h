// Magnitudes of rows: the largest, the unit in its last place, the power of two that keeps sums in range. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_MAGNITUDE_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_MAGNITUDE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace attend::compute {

template <typename T>
double LargestMagnitude(const T* values, int64_t count) {
  constexpr int kLanes = 8;
  T largest[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const T magnitude = std::abs(values[i + lane]);
      largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
    }
  }
  for (; i < count; ++i) largest[0] = std::max(largest[0], std::abs(values[i]));
  return static_cast<double>(*std::max_element(largest, largest + kLanes));
}

// The distance of neighbouring T's at a finite magnitude.
template <typename T>
double UnitInLastPlace(double magnitude) {
  constexpr double kLeast = static_cast<double>(std::numeric_limits<T>::denorm_min());
  if (magnitude == 0) return kLeast;
  return std::max(kLeast, std::ldexp(static_cast<double>(std::numeric_limits<T>::epsilon()), std::ilogb(magnitude)));
}

// A power of two such that sums and squares of values times it stay well inside double's range; 1 nearly always, and
// always for float.
template <typename T>
double SafeScale(double largest) {
  if constexpr (std::numeric_limits<T>::max_exponent < std::numeric_limits<double>::max_exponent) return 1;
  if (largest == 0 || (largest < 0x1p+400 && largest > 0x1p-400)) return 1;
  return std::ldexp(1.0, std::clamp(-std::ilogb(largest), -1022, 1022));
}

// The same from the values themselves, which it need not look at where T is float.
template <typename T>
double SafeScaleOf(const T* values, int64_t count) {
  if constexpr (std::numeric_limits<T>::max_exponent < std::numeric_limits<double>::max_exponent) return 1;
  return SafeScale<T>(LargestMagnitude(values, count));
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_MAGNITUDE_H_
