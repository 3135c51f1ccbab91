#include "server/compute/parallel_gemm.h"

#include <algorithm>

namespace attend::compute {
namespace {

// Large enough that a product of one tile runs near the machine's peak, small enough to share out and to stop soon.
constexpr int64_t kTileRows = 256;
constexpr int64_t kTileCols = 512;

// Long sums are cut into parts of about this many terms, one part of all tiles after the other: a tile then takes some
// 10 ms of a core at any size.
template <typename T>
constexpr int64_t kTileTerms = 20480 / static_cast<int64_t>(sizeof(T));

// A multiple of a cache line's entries, about as long for each part.
template <typename T>
int64_t PartLength(int64_t terms) {
  constexpr int64_t kAlignment = 16;
  const int64_t parts = std::max<int64_t>(1, (terms + kTileTerms<T> - 1) / kTileTerms<T>);
  return std::max<int64_t>(1, ((terms + parts - 1) / parts + kAlignment - 1) / kAlignment * kAlignment);
}

template <typename T>
Operand<T> Rows(const Operand<T>& a, int64_t begin, int64_t count) {
  const T* data = a.data + (a.transposed ? begin : begin * a.stride);
  return Operand<T>(data, count, a.cols, a.stride, a.transposed);
}

template <typename T>
Operand<T> Columns(const Operand<T>& b, int64_t begin, int64_t count) {
  return Transposed(Rows(Transposed(b), begin, count));
}

template <typename T>
absl::Status SplitPart(runtime::Executor& executor, T alpha, const Operand<T>& a, const Operand<T>& b, T beta,
                       const Matrix<T>& c) {
  const int64_t row_tiles = (c.rows + kTileRows - 1) / kTileRows;
  const int64_t col_tiles = (c.cols + kTileCols - 1) / kTileCols;
  const double tile_flops = 2.0 * static_cast<double>(std::min(c.rows, kTileRows)) *
                            static_cast<double>(std::min(c.cols, kTileCols)) * static_cast<double>(a.cols);
  return executor.ForEachTile(row_tiles * col_tiles, tile_flops, [&](int64_t index, int) {
    const int64_t row = index / col_tiles * kTileRows;
    const int64_t col = index % col_tiles * kTileCols;
    const int64_t rows = std::min(kTileRows, c.rows - row);
    const int64_t cols = std::min(kTileCols, c.cols - col);
    return Gemm(alpha, Rows(a, row, rows), Columns(b, col, cols), beta,
                Matrix<T>(c.row(row) + col, rows, cols, c.stride));
  });
}

template <typename T>
absl::Status Split(runtime::Executor& executor, T alpha, const Operand<T>& a, const Operand<T>& b, T beta,
                   const Matrix<T>& c) {
  const int64_t length = PartLength<T>(a.cols);
  if (a.cols <= length) return SplitPart(executor, alpha, a, b, beta, c);
  for (int64_t begin = 0; begin < a.cols; begin += length) {
    const int64_t terms = std::min(length, a.cols - begin);
    const T add_to = begin == 0 ? beta : T{1};
    if (auto done = SplitPart(executor, alpha, Columns(a, begin, terms), Rows(b, begin, terms), add_to, c);
        !done.ok()) {
      return done;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParallelGemm(runtime::Executor& executor, float alpha, const Operand<float>& a, const Operand<float>& b,
                          float beta, const Matrix<float>& c) {
  return Split(executor, alpha, a, b, beta, c);
}

absl::Status ParallelGemm(runtime::Executor& executor, double alpha, const Operand<double>& a, const Operand<double>& b,
                          double beta, const Matrix<double>& c) {
  return Split(executor, alpha, a, b, beta, c);
}

}  // namespace attend::compute
