// The way back through Prepare: from the gradients of the query and key that the tiles read to those of query, key and
// the parameters of the score. Thread-safe for distinct calls.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_BACKWARD_H_

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/prepare.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// One call: Prepare, then add to query_slopes() and key_slopes(), then Finish.
template <typename T>
class PrepareBackward {
 public:
  // REQUIRES: problem and gradients outlive it.
  PrepareBackward(runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                  const AttentionGradients<T>& gradients);

  // Errors as Prepare's. Throws std::bad_alloc.
  absl::Status Prepare(runtime::Executor& executor);

  // The prepared problem, and what collects the gradients of its query and key. With an additive score these are still
  // without the factor w_score.
  const AttentionProblem<T>& ready() const { return ready_.problem; }
  const HeadsView<T>& query_slopes() const { return query_slopes_; }
  const HeadsView<T>& key_slopes() const { return key_slopes_; }

  // Writes the gradients of query, key and the parameters but w_score. Returns the executor's errors and Gemm's.
  absl::Status Finish(runtime::Executor& executor) const;

  // Upper bound, in bytes, of the working memory.
  static double Bytes(const AttentionProblem<T>& problem);

 private:
  absl::Status FinishBilinear(runtime::Executor& executor, const BilinearScore<T>& score) const;
  absl::Status FinishAdditive(runtime::Executor& executor, const AdditiveScore<T>& score) const;

  runtime::BufferPool& pool_;
  const AttentionProblem<T>& problem_;
  const AttentionGradients<T>& gradients_;
  PreparedAttention<T> placed_;  // positions only
  PreparedAttention<T> ready_;   // the score's parameters, too
  runtime::Buffer query_memory_;
  runtime::Buffer key_memory_;
  HeadsView<T> query_slopes_;
  HeadsView<T> key_slopes_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_BACKWARD_H_
