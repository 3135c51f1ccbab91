// The numerical rank of a matrix: how many singular values exceed max(rows, cols) * epsilon(T) times the largest.
// Thread-safe. T is float or double; matrices are contiguous, row-major and finite. Computed in double precision.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_

#include <cstdint>

namespace attend::compute {

// The largest smaller side for which a rank is measured beside another computation: the singular values of a 256 x 256
// matrix take some 20 ms, and their cost grows with the cube of the side.
inline constexpr int64_t kLargestRankSide = 256;

// Of a [rows, cols].
template <typename T>
int64_t NumericalRank(const T* a, int64_t rows, int64_t cols);

// Of left right^T with left and right [rows, inner], which is never formed: its singular values are those of the
// product of the triangular factors of left and right.
template <typename T>
int64_t NumericalRankOfProduct(const T* left, const T* right, int64_t rows, int64_t inner);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_NUMERICAL_RANK_H_
