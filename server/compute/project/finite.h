// Whether a product stayed in range: finite factors can overflow, and then sums of infinities are no numbers.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_FINITE_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_FINITE_H_

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/gemm.h"
#include "server/compute/tensor.h"

namespace attend::compute {

// OUT_OF_RANGE where a tile of outputs[index] holds something infinite or no number. (row, col): where the tile begins.
template <typename T>
absl::Status CheckFinite(const Matrix<T>& tile, int64_t index, int64_t row, int64_t col) {
  for (int64_t i = 0; i < tile.rows; ++i) {
    const T* entries = tile.row(i);
    if (AllFinite(entries, static_cast<size_t>(tile.cols))) continue;
    int64_t j = 0;
    while (std::isfinite(entries[j])) ++j;
    return absl::OutOfRangeError(absl::StrCat("outputs[", index, "] overflows ", std::string(NameOf(DTypeOf<T>())),
                                              " at (", row + i, ", ", col + j, ")"));
  }
  return absl::OkStatus();
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_FINITE_H_
