// The stages of AttentionFromTokens, kept apart so that gradients can go back through each. Thread-safe for distinct
// calls.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_FORWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_FORWARD_H_

#include "absl/status/status.h"
#include "server/compute/attention/projection.h"
#include "server/compute/attention/tokens.h"
#include "server/compute/attention/tokens_position.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The three projections of a call, kept while the attention reads them.
template <typename T>
struct ProjectedTokens {
  ProjectedTokens(runtime::BufferPool& pool, const AttentionProblem<T>& a)
      : query(pool, a.batch, a.n, a.heads, a.d),
        key(pool, a.batch, a.m, a.kv_heads, a.d_key),
        value(pool, a.batch, a.m, a.kv_heads, a.d_value) {}

  // Lets the attention read them.
  void View(AttentionProblem<T>& attention) const {
    attention.query = query.const_heads();
    attention.key = key.const_heads();
    attention.value = value.const_heads();
  }

  ProjectedHeads<T> query;
  ProjectedHeads<T> key;
  ProjectedHeads<T> value;
};

// Fills `to` from placed tokens. Returns the errors of ParallelGemm.
template <typename T>
absl::Status ProjectTokens(runtime::Executor& executor, const TokensProblem<T>& problem, const PlacedTokens<T>& tokens,
                           const ProjectedTokens<T>& to);

// output [batch * n, d_out] = merged w_o + b_o. Without w_o the merged heads may be the output itself.
// Returns OUT_OF_RANGE where T cannot hold it, and the errors of ParallelGemm.
template <typename T>
absl::Status ProjectOutput(runtime::Executor& executor, const TokensProblem<T>& problem, const Matrix<const T>& merged,
                           const Matrix<T>& output);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_FORWARD_H_
