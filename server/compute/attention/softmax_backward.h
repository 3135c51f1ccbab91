// The softmax half of AttentionBackward, for scores that are ready: no positions, no bilinear matrix left to apply.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/softmax_tile.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// A tile of the backward pass, [query rows, key columns]: two of these and what they meet fit the second-level cache.
template <typename T>
struct BackwardTileShape;
template <>
struct BackwardTileShape<float> {
  static constexpr int64_t kQueries = 128;
  static constexpr int64_t kKeys = 256;
};
template <>
struct BackwardTileShape<double> {
  static constexpr int64_t kQueries = 64;
  static constexpr int64_t kKeys = 256;
};

// As AttentionBackward for a softmax; the gradients start as zero and are added to.
template <typename T>
absl::Status SoftmaxBackward(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                             const AttentionForward<T>& forward, const AttentionGradients<T>& gradients);

// Bytes that SoftmaxBackward takes for each worker.
template <typename T>
double SoftmaxBackwardBytes(const AttentionProblem<T>& problem);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_
