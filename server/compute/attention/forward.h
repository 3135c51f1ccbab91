// The tiled softmax of one block of queries, the unit of work of Attention. Thread-safe for distinct blocks.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_FORWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_FORWARD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/problem.h"
#include "server/compute/attention/softmax_tile.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// A tile of scores, [query rows, key columns], takes a share of the second-level cache that leaves room for the keys
// and values that it meets; both products of float32 then run within 6% of sgemm's best.
template <typename T>
struct TileShape;
template <>
struct TileShape<float> {
  static constexpr int64_t kQueries = 128;
  static constexpr int64_t kKeys = 512;
};
template <>
struct TileShape<double> {
  static constexpr int64_t kQueries = 64;
  static constexpr int64_t kKeys = 384;
};

// Where the results of one head go; null: not wanted. An output without columns leaves the values out altogether.
template <typename T>
struct HeadResult {
  Matrix<T> output;      // [n, d_value]
  T* weights = nullptr;  // [n, m]
  T* scores = nullptr;   // [n, m]
  T* lse = nullptr;      // [n]
  T* entropy = nullptr;  // [n]
  // [n] max and sum of exp(score - max), which say what lse = max + log(total) rounds away; -infinity and 0 where a row
  // sees no key.
  double* max = nullptr;
  T* total = nullptr;
};

template <typename T>
HeadResult<T> ResultOfHead(const AttentionProblem<T>& problem, const AttentionResult<T>& result, int64_t batch,
                           int64_t head) {
  const int64_t rows = (batch * problem.heads + head) * problem.n;
  return {Matrix<T>(result.output.at(batch, head), problem.n, problem.d_value, result.output.row_stride),
          result.weights == nullptr ? nullptr : result.weights + rows * problem.m,
          result.scores == nullptr ? nullptr : result.scores + rows * problem.m,
          result.lse == nullptr ? nullptr : result.lse + rows,
          result.entropy == nullptr ? nullptr : result.entropy + rows};
}

// The queries [first, first + count) of one head, and the keys [first_key, end_key) as far as there are any.
struct QueryBlock {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t first = 0;
  int64_t count = 0;
  int64_t first_key = 0;
  int64_t end_key = KeyBand::kUnbounded;
};

template <typename T>
int64_t QueryBlocks(int64_t n) {
  return (n + TileShape<T>::kQueries - 1) / TileShape<T>::kQueries;
}

template <typename T>
QueryBlock BlockOf(int64_t batch, int64_t head, int64_t block, int64_t n) {
  const int64_t first = block * TileShape<T>::kQueries;
  return {batch, head, first, std::min(TileShape<T>::kQueries, n - first)};
}

// Scratch memory for the tiles of a call: one tile of scores and the states of its rows for each worker.
template <typename T>
class TileScratch {
 public:
  TileScratch(runtime::BufferPool& pool, int64_t n, int64_t m, int workers)
      : rows_(TileRows(n)),
        stride_(TileStride(m)),
        buffer_(pool.AllocateArray<T>(static_cast<size_t>(workers) * Elements(n, m))) {}

  static size_t Elements(int64_t n, int64_t m) {
    return static_cast<size_t>(TileRows(n) * TileStride(m) + kStates * TileRows(n));
  }

  Matrix<T> Scores(int worker, int64_t rows, int64_t cols) const { return Matrix<T>(At(worker), rows, cols, stride_); }
  RowStates<T> States(int worker) const {
    T* states = At(worker) + rows_ * stride_;
    return {states, states + rows_, states + 2 * rows_, states + 3 * rows_};
  }

 private:
  static constexpr int64_t kStates = 4;

  // Whole cache lines, so that no two workers share one.
  static int64_t TileRows(int64_t n) {
    return (std::min(n, TileShape<T>::kQueries) + kTilePadding - 1) / kTilePadding * kTilePadding;
  }
  static int64_t TileStride(int64_t m) {
    return (std::min(m, TileShape<T>::kKeys) + kTilePadding - 1) / kTilePadding * kTilePadding + kTilePadding;
  }
  T* At(int worker) const { return buffer_.template as<T>() + worker * (rows_ * stride_ + kStates * rows_); }

  int64_t rows_;
  int64_t stride_;
  runtime::Buffer buffer_;
};

// Softmax attention of one block, whatever the problem's normalization; the softcap is softmax's own. Weights, scores,
// lse and entropy are those of the block's rows.
// REQUIRES: the problem is prepared (see prepare.h).
// Returns OUT_OF_RANGE where a visible score or an output is past T's largest number, and Gemm's errors.
template <typename T>
absl::Status SoftmaxBlock(const AttentionProblem<T>& problem, const QueryBlock& block, const HeadResult<T>& result,
                          const TileScratch<T>& scratch, int worker);

// Softmax attention of the whole prepared problem, a tile of work per block of queries.
template <typename T>
absl::Status SoftmaxAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                              const AttentionProblem<T>& problem, const AttentionResult<T>& result);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_FORWARD_H_
