// The softmax half of AttentionBackward, for a problem that is prepared (see prepare.h).
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/score_gradient.h"
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

// What the backward passes of prepared problems add to; it starts as zero.
template <typename T>
struct PreparedGradients {
  const ScoreGradient<T>& score;
  const BiasGradient<T>& bias;
  HeadsView<T> value;  // [batch, kv_heads, m, d_value]
};

// As AttentionBackward for the softmax of a prepared problem. Nothing is finished or checked.
template <typename T>
absl::Status SoftmaxBackward(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                             const AttentionForward<T>& forward, const PreparedGradients<T>& gradients);

// Bytes that SoftmaxBackward takes.
template <typename T>
double SoftmaxBackwardBytes(const AttentionProblem<T>& problem, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_BACKWARD_H_
