// Attention from tokens with its gradients, through the projections. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_BACKWARD_H_

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/tokens.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Where the gradients go; each has the shape of its input and is contiguous. Null: not wanted. What was there before is
// overwritten.
template <typename T>
struct TokensGradients {
  T* x = nullptr;        // for self-attention, by all three projections
  T* context = nullptr;  // cross-attention only
  T* w_q = nullptr;
  T* w_k = nullptr;
  T* w_v = nullptr;
  T* w_o = nullptr;
  T* b_q = nullptr;
  T* b_k = nullptr;
  T* b_v = nullptr;
  T* b_o = nullptr;
  ParameterGradients<T> parameters;
};

// AttentionFromTokens, and the gradients of sum(output * grad_output), grad_output [batch, n, d_out]. The projections
// are kept from the forward pass: memory of the size of the tokens, twice that of AttentionFromTokens. Errors as
// AttentionFromTokens and AttentionBackward.
absl::Status AttentionFromTokensWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                              const TokensProblem<float>& problem, const TokensResult<float>& result,
                                              const float* grad_output, const TokensGradients<float>& gradients);
absl::Status AttentionFromTokensWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                              const TokensProblem<double>& problem, const TokensResult<double>& result,
                                              const double* grad_output, const TokensGradients<double>& gradients);

// Of the backward pass alone.
template <typename T>
double TokensBackwardFlops(const TokensProblem<T>& problem);

// Upper bound, in bytes, of the working memory of both passes.
template <typename T>
double TokensGradientsWorkspaceBytes(const TokensProblem<T>& problem, const TokensResult<T>& wanted, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TOKENS_BACKWARD_H_
