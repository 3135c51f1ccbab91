// Query and key as the tiles read them, made once per call: positions applied, parameters of the score multiplied in.
//
//   position    q = query and k = key, with sinusoidal rows added or turned by their angles
//   then        dot product   q, k as they are           score = scale * (q . k)
//               bilinear      q w [n, d_key], k          score = scale * (q w . k)
//               additive      q w_query^T [n, h],        score = w_score . tanh(q w_query^T + k w_key^T)
//                             k w_key^T [m, h]
//
// The memory is O(n + m) rows per head, those of keys shared by grouped heads. Where neither a position nor a parameter
// asks for it, nothing is copied. Thread-safe for distinct calls.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_H_

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Where query 0 stands on the key axis.
template <typename T>
int64_t FirstPlace(const AttentionProblem<T>& problem) {
  return problem.mask.alignment == Alignment::kBottomRight ? problem.m - problem.n : 0;
}

// A prepared problem and the memory that it views. Its score is a dot product, or additive with w_score alone (w_query
// and w_key null: query and key are projected already); it has no position; d = d_key are the columns of both.
template <typename T>
struct PreparedAttention {
  AttentionProblem<T> problem;
  runtime::Buffer query;
  runtime::Buffer key;
};

// REQUIRES: prepared.problem is the problem as it came, and `prepared` owns no memory yet.
// Returns OUT_OF_RANGE where T cannot hold a projection of an additive score, RESOURCE_EXHAUSTED where there is no
// memory for a product, and the executor's errors. Throws std::bad_alloc where there is none for query and key.
template <typename T>
absl::Status Prepare(runtime::Executor& executor, runtime::BufferPool& pool, PreparedAttention<T>& prepared);

// Floating-point operations of the products above; positions are not counted.
template <typename T>
double PrepareFlops(const AttentionProblem<T>& problem);

// Upper bound, in bytes, of the memory of Prepare, during the call and after it.
template <typename T>
double PrepareBytes(const AttentionProblem<T>& problem);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PREPARE_H_
