#include "server/compute/attention/head_products.h"

#include <algorithm>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Rows of one tile of work.
constexpr int64_t kTileRows = 256;

// Calls run(batch, head, first row, rows) for every tile of every head.
template <typename T, typename Run>
absl::Status ForEachTileOfRows(runtime::Executor& executor, const HeadMatrices<T>& of, double row_flops,
                               const Run& run) {
  const int64_t blocks = (of.rows + kTileRows - 1) / kTileRows;
  const double tile_flops = row_flops * static_cast<double>(std::min(of.rows, kTileRows));
  return executor.ForEachTile(of.batch * of.heads * blocks, tile_flops, [&](int64_t index, int) {
    const int64_t first = index % blocks * kTileRows;
    return run(index / blocks / of.heads, index / blocks % of.heads, first, std::min(kTileRows, of.rows - first));
  });
}

}  // namespace

template <typename T>
absl::Status MultiplyHeads(runtime::Executor& executor, const HeadMatrices<T>& from, const Operand<T>& w,
                           const HeadsView<T>& to) {
  return ForEachTileOfRows(executor, from, 2.0 * static_cast<double>(w.rows * w.cols),
                           [&](int64_t batch, int64_t head, int64_t first, int64_t rows) {
                             const Operand<T> a(from.view.at(batch, head, first), rows, from.cols,
                                                from.view.row_stride);
                             const Matrix<T> c(to.at(batch, head, first), rows, w.cols, to.row_stride);
                             return Gemm(T{1}, a, w, T{0}, c);
                           });
}

template <typename T>
absl::Status SumOverHeads(runtime::Executor& executor, const HeadMatrices<const T>& a, const HeadMatrices<const T>& b,
                          T* sum) {
  if (sum == nullptr) return absl::OkStatus();
  const Matrix<T> to(sum, a.cols, b.cols);
  std::fill_n(sum, a.cols * b.cols, T{0});
  for (int64_t index = 0; index < a.batch * a.heads; ++index) {
    const int64_t batch = index / a.heads;
    const int64_t head = index % a.heads;
    const Operand<T> left(a.view.at(batch, head), a.rows, a.cols, a.view.row_stride);
    const Operand<T> right(b.view.at(batch, head), b.rows, b.cols, b.view.row_stride);
    if (absl::Status done = ParallelGemm(executor, T{1}, Transposed(left), right, T{1}, to); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status ScaleColumns(runtime::Executor& executor, const HeadMatrices<T>& of, const T* factors) {
  return ForEachTileOfRows(executor, of, static_cast<double>(of.cols),
                           [&](int64_t batch, int64_t head, int64_t first, int64_t rows) {
                             for (int64_t i = first; i < first + rows; ++i) {
                               T* row = of.view.at(batch, head, i);
                               for (int64_t j = 0; j < of.cols; ++j) row[j] *= factors[j];
                             }
                             return absl::OkStatus();
                           });
}

template absl::Status MultiplyHeads(runtime::Executor&, const HeadMatrices<float>&, const Operand<float>&,
                                    const HeadsView<float>&);
template absl::Status MultiplyHeads(runtime::Executor&, const HeadMatrices<double>&, const Operand<double>&,
                                    const HeadsView<double>&);
template absl::Status SumOverHeads(runtime::Executor&, const HeadMatrices<const float>&,
                                   const HeadMatrices<const float>&, float*);
template absl::Status SumOverHeads(runtime::Executor&, const HeadMatrices<const double>&,
                                   const HeadMatrices<const double>&, double*);
template absl::Status ScaleColumns(runtime::Executor&, const HeadMatrices<float>&, const float*);
template absl::Status ScaleColumns(runtime::Executor&, const HeadMatrices<double>&, const double*);

}  // namespace attend::compute
