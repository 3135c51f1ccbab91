#include "server/compute/lie/generator_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/compute/matrix_exp/structure.h"
#include "server/compute/project/generator_row.h"

namespace attend::compute {

template <typename T>
GeneratorDiagnostics DiagnoseGenerator(const Matrix<const T>& a, double* nearest) {
  GeneratorDiagnostics result;
  result.is_generator = GeneratorRowSum(a).has_value();
  const int64_t n = a.rows;
  std::vector<double> row(static_cast<size_t>(n)), near(static_cast<size_t>(n)), scratch(static_cast<size_t>(n));
  double smallest = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      row[static_cast<size_t>(j)] = static_cast<double>(a.row(i)[j]);
      sum += row[static_cast<size_t>(j)];
      if (j != i) smallest = std::min(smallest, row[static_cast<size_t>(j)]);
    }
    result.max_row_sum = std::max(result.max_row_sum, std::fabs(sum));
    NearestGeneratorRow(row.data(), n, i, scratch.data(), near.data());
    for (size_t j = 0; j < row.size(); ++j) result.distance = std::hypot(result.distance, row[j] - near[j]);
    if (nearest != nullptr) std::copy(near.begin(), near.end(), nearest + i * n);
  }
  if (n > 1) result.min_off_diagonal = smallest;
  return result;
}

template GeneratorDiagnostics DiagnoseGenerator(const Matrix<const float>&, double*);
template GeneratorDiagnostics DiagnoseGenerator(const Matrix<const double>&, double*);

}  // namespace attend::compute
