#include "server/compute/matrix_exp/generator_columns.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/double_double.h"

namespace attend::compute {

template <typename T>
GeneratorColumns<T>::GeneratorColumns(const Matrix<const T>& b) : columns_(static_cast<size_t>(b.cols)) {
  for (int64_t j = 0; j < b.cols; ++j) {
    Column& column = columns_[static_cast<size_t>(j)];
    column.least = column.largest = b.row(0)[j];
    for (int64_t i = 1; i < b.rows; ++i) {
      column.least = std::min(column.least, b.row(i)[j]);
      column.largest = std::max(column.largest, b.row(i)[j]);
    }
    const auto least = static_cast<double>(column.least);
    const auto largest = static_cast<double>(column.largest);
    std::frexp(std::max(std::fabs(least), std::fabs(largest)), &column.exponent);
    const PowerOfTwo down(-column.exponent);
    column.center = down(least) / 2 + down(largest) / 2;
  }
}

template <typename T>
void GeneratorColumns<T>::Load(const Matrix<const T>& b, ColumnPanels& hi, ColumnPanels& lo) const {
  hi.SetZero();
  lo.SetZero();
  for (int64_t j = 0; j < b.cols; ++j) {
    const Column& column = columns_[static_cast<size_t>(j)];
    const PowerOfTwo down(-column.exponent);
    const int64_t panel = j / kPackedColumns;
    const int64_t width = hi.width(panel);
    double* to = hi.at(panel, 0) + j % kPackedColumns;
    double* to_rest = lo.at(panel, 0) + j % kPackedColumns;
    for (int64_t i = 0; i < b.rows; ++i) {
      const DoubleDouble rest = ExactSum(down(static_cast<double>(b.row(i)[j])), -column.center);
      to[i * width] = rest.hi;
      to_rest[i * width] = rest.lo;
    }
  }
}

template <typename T>
void GeneratorColumns<T>::Store(const ColumnPanels& hi, const ColumnPanels& lo, const Matrix<T>& out) const {
  for (int64_t j = 0; j < out.cols; ++j) {
    const Column& column = columns_[static_cast<size_t>(j)];
    const PowerOfTwo up(column.exponent);
    const auto least = static_cast<double>(column.least);
    const auto largest = static_cast<double>(column.largest);
    const int64_t panel = j / kPackedColumns;
    const int64_t width = hi.width(panel);
    const double* from = hi.at(panel, 0) + j % kPackedColumns;
    const double* from_rest = lo.at(panel, 0) + j % kPackedColumns;
    for (int64_t i = 0; i < out.rows; ++i) {
      const DoubleDouble sum = ExactSum(column.center, from[i * width]);
      const double value = up(sum.hi + (sum.lo + from_rest[i * width]));
      out.row(i)[j] = static_cast<T>(std::clamp(value, least, largest));
    }
  }
}

template class GeneratorColumns<float>;
template class GeneratorColumns<double>;

}  // namespace attend::compute
