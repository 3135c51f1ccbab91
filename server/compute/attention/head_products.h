// Products of all heads with one matrix, and their sums over all heads. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_HEAD_PRODUCTS_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_HEAD_PRODUCTS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Matrices [rows, cols] of batch * heads.
template <typename T>
struct HeadMatrices {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  HeadsView<T> view;
};

template <typename T>
HeadsView<const T> AsConst(const HeadsView<T>& view) {
  return {view.data, view.batch_stride, view.head_stride, view.row_stride};
}

// to [rows, w.cols] = from w, for every head. Errors as Gemm's and the executor's.
template <typename T>
absl::Status MultiplyHeads(runtime::Executor& executor, const HeadMatrices<T>& from, const Operand<T>& w,
                           const HeadsView<T>& to);

// sum [a.cols, b.cols], contiguous = the sum of a^T b over all heads, one after another. Null: nothing.
// REQUIRES: a and b agree but for their columns.
template <typename T>
absl::Status SumOverHeads(runtime::Executor& executor, const HeadMatrices<const T>& a, const HeadMatrices<const T>& b,
                          T* sum);

// Multiplies column j of every head by factors[j].
template <typename T>
absl::Status ScaleColumns(runtime::Executor& executor, const HeadMatrices<T>& of, const T* factors);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_HEAD_PRODUCTS_H_
