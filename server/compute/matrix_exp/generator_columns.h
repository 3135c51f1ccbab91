// The columns of b in exp(G) b, G a generator: centered and scaled, and back. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_COLUMNS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_COLUMNS_H_

#include <cstdint>
#include <vector>

#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/column_panels.h"

namespace attend::compute {

// exp(G) keeps constants, so that exp(G) b = c + exp(G) (b - c): c halfway between the least and the largest entry of a
// column leaves less to round. In units in which the largest |entry| of the column is in [1/2, 1).
template <typename T>
class GeneratorColumns {
 public:
  // REQUIRES: b [n, p] is finite, n >= 1.
  explicit GeneratorColumns(const Matrix<const T>& b);

  // hi + lo [n, p] = b - c, exactly, with zeros beyond n and p. |hi| <= 1.
  void Load(const Matrix<const T>& b, ColumnPanels& hi, ColumnPanels& lo) const;

  // out [n, p] = c + hi + lo, within the entries of its column of b: means of them are nowhere else.
  void Store(const ColumnPanels& hi, const ColumnPanels& lo, const Matrix<T>& out) const;

 private:
  struct Column {
    T least = 0;
    T largest = 0;
    int exponent = 0;
    double center = 0;
  };

  std::vector<Column> columns_;  // [p]
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_COLUMNS_H_
