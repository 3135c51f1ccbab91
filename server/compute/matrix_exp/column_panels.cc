#include "server/compute/matrix_exp/column_panels.h"

namespace attend::compute {

void ColumnPanels::LoadFrom(const Matrix<const double>& from) {
  for (int64_t panel = 0; panel < panels(); ++panel) {
    const int64_t first = panel * kPackedColumns;
    const int64_t wide = width(panel);
    const int64_t count = std::min(wide, cols_ - first);
    double* to = at(panel, 0);
    for (int64_t i = 0; i < rows_; ++i, to += wide) {
      std::copy_n(from.row(i) + first, count, to);
      std::fill(to + count, to + wide, 0.0);
    }
    std::fill_n(to, (padded_rows() - rows_) * wide, 0.0);
  }
}

void ColumnPanels::StoreTo(const Matrix<double>& to) const {
  for (int64_t panel = 0; panel < panels(); ++panel) {
    const int64_t first = panel * kPackedColumns;
    const int64_t wide = width(panel);
    const int64_t count = std::min(wide, cols_ - first);
    const double* from = at(panel, 0);
    for (int64_t i = 0; i < rows_; ++i, from += wide) std::copy_n(from, count, to.row(i) + first);
  }
}

}  // namespace attend::compute
