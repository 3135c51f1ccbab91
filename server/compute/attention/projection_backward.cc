#include "server/compute/attention/projection_backward.h"

#include <algorithm>
#include <array>

namespace attend::compute {
namespace {

// A tile of columns is summed in blocks of rows, which lose less than one long sum.
constexpr int64_t kTileCols = 64;
constexpr int64_t kBlockRows = 256;

// Rows that one product goes over before the call's cancellation is polled again.
constexpr int64_t kProductRows = 4096;

// to [a.cols, b.cols] = a^T b
template <typename T>
absl::Status SumOuterProducts(runtime::Executor& executor, const Matrix<const T>& a, const Matrix<const T>& b,
                              const Matrix<T>& to) {
  std::fill_n(to.data, to.rows * to.cols, T{0});
  for (int64_t first = 0; first < a.rows; first += kProductRows) {
    const int64_t rows = std::min(kProductRows, a.rows - first);
    const Operand<T> left(a.row(first), rows, a.cols, a.stride);
    const Operand<T> right(b.row(first), rows, b.cols, b.stride);
    if (absl::Status done = ParallelGemm(executor, T{1}, Transposed(left), right, T{1}, to); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status SumRows(runtime::Executor& executor, const Matrix<const T>& a, T* sums) {
  const int64_t tiles = (a.cols + kTileCols - 1) / kTileCols;
  return executor.ForEachTile(tiles, static_cast<double>(a.rows * kTileCols), [&](int64_t index, int) {
    const int64_t first = index * kTileCols;
    const int64_t cols = std::min(kTileCols, a.cols - first);
    std::fill_n(sums + first, cols, T{0});
    for (int64_t begin = 0; begin < a.rows; begin += kBlockRows) {
      std::array<T, kTileCols> block = {};
      for (int64_t i = begin; i < std::min(a.rows, begin + kBlockRows); ++i) {
        for (int64_t j = 0; j < cols; ++j) block[static_cast<size_t>(j)] += a.row(i)[first + j];
      }
      for (int64_t j = 0; j < cols; ++j) sums[first + j] += block[static_cast<size_t>(j)];
    }
    return absl::OkStatus();
  });
}

}  // namespace

template <typename T>
absl::Status ProjectionBackward(runtime::Executor& executor, const Matrix<const T>& x, const T* w,
                                const Matrix<const T>& slopes, const ProjectionGradients<T>& to) {
  absl::Status done;
  if (to.x != nullptr) {
    const Operand<T> weight(w, x.cols, slopes.cols, slopes.cols);
    done = ParallelGemm(executor, T{1}, slopes, Transposed(weight), to.x_before, Matrix<T>(to.x, x.rows, x.cols));
    if (!done.ok()) return done;
  }
  if (to.w != nullptr) {
    done = SumOuterProducts(executor, x, slopes, Matrix<T>(to.w, x.cols, slopes.cols));
    if (!done.ok()) return done;
  }
  return to.bias == nullptr ? done : SumRows(executor, slopes, to.bias);
}

template absl::Status ProjectionBackward(runtime::Executor&, const Matrix<const float>&, const float*,
                                         const Matrix<const float>&, const ProjectionGradients<float>&);
template absl::Status ProjectionBackward(runtime::Executor&, const Matrix<const double>&, const double*,
                                         const Matrix<const double>&, const ProjectionGradients<double>&);

}  // namespace attend::compute
