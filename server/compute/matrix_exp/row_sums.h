// Sums of the entries of a row in twice the precision, and their range. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROW_SUMS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROW_SUMS_H_

#include <cstdint>
#include <limits>

#include "server/compute/matrix_exp/double_double.h"

namespace attend::compute {

struct RowSums {
  DoubleDouble sum;
  double absolute = 0;  // the sum of the moduli
};

// Of entries times `scale`. Relative error of the sum where no two entries have different signs: count 2^-104.
template <typename T>
RowSums SumEntries(const T* entries, int64_t count, const PowerOfTwo& scale);

struct Range {
  double least = std::numeric_limits<double>::infinity();
  double largest = -std::numeric_limits<double>::infinity();
};

// Empty (least above largest) where count is 0. NaN are passed over.
template <typename T>
Range RangeOf(const T* entries, int64_t count);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ROW_SUMS_H_
