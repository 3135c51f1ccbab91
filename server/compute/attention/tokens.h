// Attention from token matrices: project, split into heads, attend, merge, project back. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_H_

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// All matrices are contiguous. A null pointer means "absent".
template <typename T>
struct TokensProblem {
  int64_t d_model = 0;
  int64_t d_context = 0;
  int64_t d_out = 0;           // heads * d_value where w_o is absent
  const T* x = nullptr;        // [batch, n, d_model]
  const T* context = nullptr;  // [batch, m, d_context]; the same as x for self-attention
  const T* w_q = nullptr;      // [d_model,   heads * d]
  const T* w_k = nullptr;      // [d_context, kv_heads * d_key]
  const T* w_v = nullptr;      // [d_context, kv_heads * d_value]
  const T* w_o = nullptr;      // [heads * d_value, d_out] or absent
  const T* b_q = nullptr;      // [heads * d] or absent
  const T* b_k = nullptr;      // [kv_heads * d_key] or absent
  const T* b_v = nullptr;      // [kv_heads * d_value] or absent
  const T* b_o = nullptr;      // [d_out] or absent
  // Sizes, score, position, mask and normalization; its query, key and value views are filled in by
  // AttentionFromTokens.
  AttentionProblem<T> attention;
};

template <typename T>
struct TokensResult {
  T* output = nullptr;   // [batch, n, d_out]
  T* weights = nullptr;  // as in AttentionResult
  T* scores = nullptr;
  T* lse = nullptr;
  T* entropy = nullptr;
};

// Errors as Attention.
absl::Status AttentionFromTokens(runtime::Executor& executor, runtime::BufferPool& pool,
                                 const TokensProblem<float>& problem, const TokensResult<float>& result);
absl::Status AttentionFromTokens(runtime::Executor& executor, runtime::BufferPool& pool,
                                 const TokensProblem<double>& problem, const TokensResult<double>& result);

// As AttentionFlops and AttentionWorkspaceBytes, projections and their memory included.
template <typename T>
double TokensFlops(const TokensProblem<T>& problem);
template <typename T>
double TokensWorkspaceBytes(const TokensProblem<T>& problem, const TokensResult<T>& wanted, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_H_
