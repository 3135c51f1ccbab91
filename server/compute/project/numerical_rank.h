// The numerical rank of a matrix: how many singular values exceed max(rows, cols) * epsilon(T) times the largest.
// Thread-safe. T is float or double; matrices are contiguous, row-major and finite. Computed in double precision.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class RankMethod {
  kSingularValues,
  // A QR factorization with column pivoting, at less than half the cost: |R_kk| stand for the singular values. They
  // seldom differ by more than a factor of a few, so that a rank with a gap behind it is found; there are matrices made
  // to defeat it (Kahan's), and values that crowd the threshold may be counted differently.
  kPivotedQr,
};

// Of a [rows, cols].
template <typename T>
absl::StatusOr<int64_t> NumericalRank(runtime::Executor& executor, runtime::BufferPool& pool, RankMethod method,
                                      const T* a, int64_t rows, int64_t cols);

// Of left right^T with left and right [rows, inner]. Where inner < rows it is never formed: its singular values are
// those of the product of the triangular factors of left and right.
template <typename T>
absl::StatusOr<int64_t> NumericalRankOfProduct(runtime::Executor& executor, runtime::BufferPool& pool,
                                               RankMethod method, const T* left, const T* right, int64_t rows,
                                               int64_t inner);

// What they cost, as floating-point operations of products in double that would take as long (measured at sides of 256
// to 1024: reductions run at a fraction of the speed of products). `inner` = 0 for NumericalRank of a square matrix.
double RankCost(RankMethod method, int64_t rows, int64_t inner);
double RankWorkspaceBytes(int64_t rows, int64_t inner, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_
