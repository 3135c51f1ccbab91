#include "server/compute/matrix_exp/structure.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/row_sums.h"
#include "server/compute/shortest_text.h"

namespace attend::compute {
namespace {

// The column of the row's first negative off-diagonal entry, or -1.
template <typename T>
int64_t NegativeEntry(const Matrix<const T>& a, int64_t row) {
  const T* entries = a.row(row);
  const int64_t after = a.cols - row - 1;
  if (RangeOf(entries, row).least >= 0 && RangeOf(entries + row + 1, after).least >= 0) return -1;
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
  const Range range = RangeOf(a.row(row), a.cols);
  const bool is_large = std::max(-range.least, range.largest) > 0x1p+1000;
  if (is_large) result.unit = 0x1p+60;
  const RowSums sums = SumEntries(a.row(row), a.cols, PowerOfTwo(is_large ? -60 : 0));
  result.sum = sums.sum.hi + sums.sum.lo;
  const double absolute = sums.absolute;
  const double ulps = 8 + 2 * std::sqrt(static_cast<double>(a.cols));
  result.tolerance = ulps * std::numeric_limits<T>::epsilon() * absolute;
  return result;
}

// The first off-diagonal entry, row by row, for which `breaks(row, col)` is true.
template <typename Breaks>
std::optional<Entry> FirstEntry(int64_t n, const Breaks& breaks) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (i != j && breaks(i, j)) return Entry{i, j};
    }
  }
  return std::nullopt;
}

template <typename T>
std::string Text(const Matrix<const T>& a, Entry at) {
  return absl::StrCat("entry (", at.row, ", ", at.col, ") = ", ShortestText(a.row(at.row)[at.col]));
}

absl::Status Refusal(int64_t index, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("matrix ", index, " of a with ", what));
}

template <typename T>
absl::Status CheckMirror(const Matrix<const T>& a, int64_t index, std::optional<Entry> at) {
  if (!at) return absl::OkStatus();
  if (at->row == at->col) return Refusal(index, Text(a, *at));
  return Refusal(index, absl::StrCat(Text(a, *at), " and ", Text(a, Entry{at->col, at->row})));
}

template <typename T>
absl::Status CheckTriangular(const Matrix<const T>& a, int64_t index) {
  const std::optional<Entry> below = NotUpper(a);
  const std::optional<Entry> above = NotLower(a);
  if (!below || !above) return absl::OkStatus();
  return Refusal(index, absl::StrCat(Text(a, *below), " and ", Text(a, *above)));
}

}  // namespace

template <typename T>
std::optional<Entry> NotDiagonal(const Matrix<const T>& a) {
  return FirstEntry(a.rows, [&](int64_t i, int64_t j) { return a.row(i)[j] != 0; });
}

template <typename T>
std::optional<Entry> NotUpper(const Matrix<const T>& a) {
  return FirstEntry(a.rows, [&](int64_t i, int64_t j) { return j < i && a.row(i)[j] != 0; });
}

template <typename T>
std::optional<Entry> NotLower(const Matrix<const T>& a) {
  return FirstEntry(a.rows, [&](int64_t i, int64_t j) { return j > i && a.row(i)[j] != 0; });
}

template <typename T>
std::optional<Entry> NotSymmetric(const Matrix<const T>& a) {
  return FirstEntry(a.rows, [&](int64_t i, int64_t j) { return j < i && a.row(i)[j] != a.row(j)[i]; });
}

template <typename T>
std::optional<Entry> NotSkewSymmetric(const Matrix<const T>& a) {
  for (int64_t i = 0; i < a.rows; ++i) {
    if (a.row(i)[i] != 0) return Entry{i, i};
  }
  return FirstEntry(a.rows, [&](int64_t i, int64_t j) { return j < i && a.row(i)[j] != -a.row(j)[i]; });
}

template <typename T>
MatrixStructure DetectStructure(const Matrix<const T>& a, bool may_be_generator) {
  if (!NotDiagonal(a)) return MatrixStructure::kDiagonal;
  if (may_be_generator && GeneratorRowSum(a)) return MatrixStructure::kGenerator;
  if (!NotUpper(a) || !NotLower(a)) return MatrixStructure::kTriangular;
  if (!NotSymmetric(a)) return MatrixStructure::kSymmetric;
  if (!NotSkewSymmetric(a)) return MatrixStructure::kSkewSymmetric;
  return MatrixStructure::kGeneral;
}

template <typename T>
absl::Status CheckStructure(const Matrix<const T>& a, MatrixStructure structure, int64_t index) {
  switch (structure) {
    case MatrixStructure::kGeneral:
      break;
    case MatrixStructure::kGenerator:
      return CheckGenerator(a, index);
    case MatrixStructure::kSkewSymmetric:
      return CheckMirror(a, index, NotSkewSymmetric(a));
    case MatrixStructure::kSymmetric:
      return CheckMirror(a, index, NotSymmetric(a));
    case MatrixStructure::kTriangular:
      return CheckTriangular(a, index);
    case MatrixStructure::kDiagonal:
      if (const auto at = NotDiagonal(a)) return Refusal(index, Text(a, *at));
      break;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status CheckGenerator(const Matrix<const T>& a, int64_t index) {
  for (int64_t i = 0; i < a.rows; ++i) {
    if (const int64_t j = NegativeEntry(a, i); j >= 0) return Refusal(index, Text(a, Entry{i, j}));
    if (const RowSum row = SumRow(a, i); !row.is_zero()) {
      return Refusal(index, absl::StrCat("a sum of row ", i, " = ", row.sum * row.unit, " (rounding: at most ",
                                         row.tolerance * row.unit, ") and ", Text(a, Entry{i, i})));
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

template std::optional<Entry> NotDiagonal(const Matrix<const float>&);
template std::optional<Entry> NotUpper(const Matrix<const float>&);
template std::optional<Entry> NotLower(const Matrix<const float>&);
template std::optional<Entry> NotSymmetric(const Matrix<const float>&);
template std::optional<Entry> NotSkewSymmetric(const Matrix<const float>&);
template MatrixStructure DetectStructure(const Matrix<const float>&, bool);
template absl::Status CheckStructure(const Matrix<const float>&, MatrixStructure, int64_t);
template std::optional<Entry> NotDiagonal(const Matrix<const double>&);
template std::optional<Entry> NotUpper(const Matrix<const double>&);
template std::optional<Entry> NotLower(const Matrix<const double>&);
template std::optional<Entry> NotSymmetric(const Matrix<const double>&);
template std::optional<Entry> NotSkewSymmetric(const Matrix<const double>&);
template MatrixStructure DetectStructure(const Matrix<const double>&, bool);
template absl::Status CheckStructure(const Matrix<const double>&, MatrixStructure, int64_t);
template absl::Status CheckGenerator(const Matrix<const float>&, int64_t);
template absl::Status CheckGenerator(const Matrix<const double>&, int64_t);
template std::optional<double> GeneratorRowSum(const Matrix<const float>&);
template std::optional<double> GeneratorRowSum(const Matrix<const double>&);

}  // namespace attend::compute
