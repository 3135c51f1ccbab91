// A strip of rows of one projection of algebra.h, and what it measures of each row. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_ROWS_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_ROWS_H_

#include <cstdint>

#include "server/compute/project/algebra.h"

namespace attend::compute {

// Rows [begin, end) of one matrix m [n, n] into out [n, n].
template <typename T>
struct RowStrip {
  const T* m = nullptr;
  T* out = nullptr;
  int64_t n = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

// `scratch` holds n doubles. All targets but kTraceless, whose diagonal is one problem for the whole matrix.
template <typename T>
void ProjectRows(AlgebraTarget target, const RowStrip<T>& strip, double* scratch);

// m less the mean of its diagonal, there; all of m.
template <typename T>
void ProjectTraceless(const T* m, int64_t n, T* out);

// Of each row: distances[i] = ||out - m||, sums[i] = |sum of out| (for the targets that are about sums, else 0).
template <typename T>
void MeasureRows(AlgebraTarget target, const RowStrip<T>& strip, double* distances, double* sums);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_ROWS_H_
