// Which matrices are worth splitting. A constant.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TILING_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TILING_H_

#include <cstdint>

namespace attend::compute {

// Rows up to which a matrix is one tile; a larger one is worth splitting its products over the threads.
inline constexpr int64_t kLargestTile = 256;

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TILING_H_
