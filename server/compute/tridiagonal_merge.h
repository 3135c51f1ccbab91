// One step of tridiagonal_eigen.h: two halves, solved apart, become one. Not thread-safe; distinct halves are
// independent.
#ifndef ATTEND_SERVER_COMPUTE_TRIDIAGONAL_MERGE_H_
#define ATTEND_SERVER_COMPUTE_TRIDIAGONAL_MERGE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// diag(values) in the basis of the rows of `vectors` [n, n]: those before `first` are zero from column `first` on, the
// others before it. `order` holds the rows of either part by ascending value, those of the second counted from `first`.
struct Halves {
  Matrix<double> vectors;
  double* values = nullptr;  // [n]
  int* order = nullptr;      // [n]
  int64_t first = 0;
};

// Doubles that one merge works in.
int64_t MergeWork(int64_t n);

// Adds beside v^T v, v [n] = (0, .., 0, 1, sign(beside), 0, .., 0) times |beside|, the ones at first - 1 and `first`:
// values and vectors become those of the sum, `order` all rows by ascending value.
// Errors: the executor's; INTERNAL where a root of the secular equation does not converge.
absl::Status Merge(runtime::Executor& executor, const Halves& halves, double beside, double* work);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_TRIDIAGONAL_MERGE_H_
