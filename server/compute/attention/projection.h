// Token matrices to heads and back: x w + b with rows apart, heads as views of it. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Elements between rows of `cols` columns: whole cache lines, and never a power of two (see gemm.h).
template <typename T>
constexpr int64_t ProjectedStride(int64_t cols) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t lines = (cols + kLine - 1) / kLine;
  return (lines % 2 == 0 ? lines + 1 : lines + 2) * kLine;
}

// out [rows, cols] = x [rows, inner] w [inner, cols] + bias [cols] (null: none).
// Returns the errors of ParallelGemm.
template <typename T>
absl::Status ProjectRows(runtime::Executor& executor, const Matrix<const T>& x, const Matrix<const T>& w, const T* bias,
                         const Matrix<T>& out);

// A buffer of rows, and the heads in it: [batch * rows, heads * cols] seen as [batch, heads, rows, cols].
template <typename T>
class ProjectedHeads {
 public:
  ProjectedHeads(runtime::BufferPool& pool, int64_t batch, int64_t rows, int64_t heads, int64_t cols)
      : rows_(rows),
        cols_(cols),
        stride_(ProjectedStride<T>(heads * cols)),
        buffer_(pool.AllocateArray<T>(static_cast<size_t>(batch * rows * stride_))),
        matrix_(buffer_.template as<T>(), batch * rows, heads * cols, stride_) {}

  const Matrix<T>& matrix() const { return matrix_; }
  HeadsView<T> heads() const { return {matrix_.data, rows_ * stride_, cols_, stride_}; }
  HeadsView<const T> const_heads() const { return {matrix_.data, rows_ * stride_, cols_, stride_}; }

 private:
  int64_t rows_;
  int64_t cols_;
  int64_t stride_;
  runtime::Buffer buffer_;
  Matrix<T> matrix_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_H_
