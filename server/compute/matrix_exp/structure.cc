#include "server/compute/matrix_exp/structure.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace attend::compute {
namespace {

// The column of the row's first negative off-diagonal entry, or -1.
template <typename T>
int64_t NegativeEntry(const Matrix<const T>& a, int64_t row) {
  for (int64_t j = 0; j < a.cols; ++j) {
    if (j != row && a.row(row)[j] < 0) return j;
  }
  return -1;
}

// The row's sum and the largest sum that counts as zero, both divided by `unit`, so that nothing overflows.
struct RowSum {
  double unit = 1;
  double sum = 0;
  double tolerance = 0;

  bool is_zero() const { return std::fabs(sum) <= tolerance; }
};

template <typename T>
RowSum SumRow(const Matrix<const T>& a, int64_t row) {
  RowSum result;
  double largest = 0;
  for (int64_t j = 0; j < a.cols; ++j) largest = std::max(largest, std::fabs(static_cast<double>(a.row(row)[j])));
  if (largest > 0x1p+1000) result.unit = 0x1p+60;
  double absolute = 0;
  double rest = 0;
  for (int64_t j = 0; j < a.cols; ++j) {
    const double entry = static_cast<double>(a.row(row)[j]) / result.unit;
    const double sum = result.sum + entry;
    rest += std::fabs(result.sum) >= std::fabs(entry) ? (result.sum - sum) + entry : (entry - sum) + result.sum;
    result.sum = sum;
    absolute += std::fabs(entry);
  }
  result.sum += rest;
  const double ulps = 8 + 2 * std::sqrt(static_cast<double>(a.cols));
  result.tolerance = ulps * std::numeric_limits<T>::epsilon() * absolute;
  return result;
}

}  // namespace

template <typename T>
absl::Status CheckGenerator(const Matrix<const T>& a, int64_t index) {
  for (int64_t i = 0; i < a.rows; ++i) {
    if (const int64_t j = NegativeEntry(a, i); j >= 0) {
      return absl::InvalidArgumentError(absl::StrCat("matrix ", index, " of a is no generator: entry (", i, ", ", j,
                                                     ") is ", a.row(i)[j], ", expected >= 0 off the diagonal"));
    }
    if (const RowSum row = SumRow(a, i); !row.is_zero()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "matrix ", index, " of a is no generator: row ", i, " sums to ", row.sum * row.unit, " with entry (", i, ", ",
          i, ") = ", a.row(i)[i], ", expected 0 within ", row.tolerance * row.unit));
    }
  }
  return absl::OkStatus();
}

template <typename T>
std::optional<double> GeneratorRowSum(const Matrix<const T>& a) {
  double largest = 0;
  for (int64_t i = 0; i < a.rows; ++i) {
    if (a.row(i)[i] > 0 || NegativeEntry(a, i) >= 0) return std::nullopt;
    const RowSum row = SumRow(a, i);
    if (!row.is_zero()) return std::nullopt;
    largest = std::max(largest, std::fabs(row.sum) * row.unit);
  }
  return largest;
}

template absl::Status CheckGenerator(const Matrix<const float>&, int64_t);
template absl::Status CheckGenerator(const Matrix<const double>&, int64_t);
template std::optional<double> GeneratorRowSum(const Matrix<const float>&);
template std::optional<double> GeneratorRowSum(const Matrix<const double>&);

}  // namespace attend::compute
