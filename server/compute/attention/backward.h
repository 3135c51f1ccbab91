// The gradients of Attention: of sum(output * grad_output) by every floating input. Thread-safe.
//
//   softmax:        dS = weights * (grad_output value^T - rowsum(output * grad_output)), tile by tile, recomputed
//   generator_exp:  dG = time * L(time * G^T, grad_output value^T), L the Frechet derivative of exp (see frechet.h)
//
// A pair that is hidden has no part in any gradient: a row that sees no key gives none, nor does a bias of -infinity.
// Memory beyond inputs and gradients: softmax, two tiles per worker, three with a softcap, and as much as the lse where
// that is large; a bias stretched over queries or keys, a row for each head; generator_exp, [n, n] matrices for the
// heads at work; positions and parameters of the score, a few times what Prepare takes. Sums over heads, keys and
// queries run in an order that the shapes alone decide. Returns the executor's CANCELLED / DEADLINE_EXCEEDED (gradients
// are then unspecified), OUT_OF_RANGE where T cannot hold a gradient, RESOURCE_EXHAUSTED where there is no memory.
// Source: Dao et al. 2022 (recomputed tiles); Najfeld and Havel 1995 (adjoint of the exponential).
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// What the backward pass needs of the forward pass. generator_exp reads grad_output alone.
template <typename T>
struct AttentionForward {
  HeadsView<const T> output;       // [batch, heads, n, d_value]
  const T* lse = nullptr;          // [batch, heads, n], contiguous
  HeadsView<const T> grad_output;  // [batch, heads, n, d_value]
};

// Where the gradients of what is not a query, key or value go; each has the shape of its input. Null: not wanted.
template <typename T>
struct ParameterGradients {
  T* bias = nullptr;        // the elements of mask.bias, contiguous: mask.bias's strides hold
  T* w_query = nullptr;     // of the additive score
  T* w_key = nullptr;       // likewise
  T* w_score = nullptr;     // likewise
  T* w_bilinear = nullptr;  // BilinearScore::w
};

// Where all gradients go; query, key and value must be there. What was there before is overwritten.
template <typename T>
struct AttentionGradients {
  HeadsView<T> query;  // [batch, heads,    n, d]
  HeadsView<T> key;    // [batch, kv_heads, m, d_key]
  HeadsView<T> value;  // [batch, kv_heads, m, d_value]
  ParameterGradients<T> parameters;
};

// REQUIRES: `forward` holds the results of Attention for this problem, which was told that a backward pass follows; the
// gradients overlap nothing.
absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<float>& problem, const AttentionForward<float>& forward,
                               const AttentionGradients<float>& gradients);
absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<double>& problem, const AttentionForward<double>& forward,
                               const AttentionGradients<double>& gradients);

// Attention and its gradients in one call: `result` as from Attention, `grad_output` as in AttentionForward.
absl::Status AttentionWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                    const AttentionProblem<float>& problem, const AttentionResult<float>& result,
                                    const HeadsView<const float>& grad_output,
                                    const AttentionGradients<float>& gradients);
absl::Status AttentionWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                    const AttentionProblem<double>& problem, const AttentionResult<double>& result,
                                    const HeadsView<const double>& grad_output,
                                    const AttentionGradients<double>& gradients);

// Elements of the problem's bias: the product of the dimensions that its strides do not stretch.
template <typename T>
int64_t BiasElements(const AttentionProblem<T>& problem);

// Floating-point operations of the backward pass alone.
template <typename T>
double AttentionBackwardFlops(const AttentionProblem<T>& problem);

// Upper bound, in bytes, of the backward pass's working memory beyond inputs and gradients.
template <typename T>
double AttentionBackwardWorkspaceBytes(const AttentionProblem<T>& problem, int workers);

// The same for both passes, as AttentionWithGradients runs them.
template <typename T>
double AttentionGradientsWorkspaceBytes(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted,
                                        int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_BACKWARD_H_
