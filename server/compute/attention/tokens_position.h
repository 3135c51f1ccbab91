// Sinusoidal positions of tokens: they are added to x and context, before the projections. Thread-safe for distinct
// calls. (Rotary positions turn the projected query and key: see prepare.h.)
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_POSITION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_POSITION_H_

#include "absl/status/status.h"
#include "server/compute/attention/tokens.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// What the projections read: the problem's own x and context, or sums in memory of their own.
template <typename T>
struct PlacedTokens {
  const T* x = nullptr;        // [batch, n, d_model]
  const T* context = nullptr;  // [batch, m, d_context]; the same as x for self-attention
  runtime::Buffer x_memory;
  runtime::Buffer context_memory;
};

// Returns the executor's errors. Throws std::bad_alloc.
template <typename T>
absl::Status PlaceTokens(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                         PlacedTokens<T>& placed);

// The memory of PlaceTokens, bytes.
template <typename T>
double PlacedTokensBytes(const TokensProblem<T>& problem);

// The attention that is left once tokens have been placed.
template <typename T>
AttentionProblem<T> WithoutSinusoidalPosition(AttentionProblem<T> attention) {
  if (std::holds_alternative<SinusoidalPosition>(attention.position)) attention.position = NoPosition{};
  return attention;
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_POSITION_H_
