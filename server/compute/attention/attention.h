// Attention over ready-made heads. Thread-safe.
//
//   softmax:        output = softmax(score(query, key) - ALiBi + bias, masked) value     per row
//   generator_exp:  output = exp(time * G) value, G the generator made of the same scores (see problem.h)
//
// Every score, position, mask and normalization of problem.h goes with every other.
//
// A row that sees no key: output 0, lse -infinity, entropy 0 (softmax). With generator_exp such a row of G is zero, so
// the query keeps its own value.
// Memory beyond inputs and outputs: softmax, one tile per worker; generator_exp, [n, m] matrices for the heads at work;
// positions and parameters of the score, as many rows as query and key have (see prepare.h).
// REQUIRES: the problem's shapes agree; results do not overlap the inputs.
// Returns CANCELLED / DEADLINE_EXCEEDED when the call is no longer wanted, polled between tiles; results are then
// unspecified. OUT_OF_RANGE when float32/float64 cannot hold a visible score, a projection of an additive score, a rate
// of a generator, or the sum of a row's values on its way to the output (scores that the band or `allowed` hides may
// overflow; a bias of -infinity hides a pair whose score is finite, and one that takes a score below the lowest number
// hides it, too).
// RESOURCE_EXHAUSTED where there is no memory. Source: Dao et al. 2022 (tiling), Milakov and Gimelshein 2018 (online
// softmax).
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_ATTENTION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_ATTENTION_H_

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

absl::Status Attention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<float>& problem,
                       const AttentionResult<float>& result);
absl::Status Attention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<double>& problem,
                       const AttentionResult<double>& result);

// Pairs that causal, windows and key_lengths leave, over all batches and heads.
template <typename T>
double VisiblePairs(const AttentionProblem<T>& problem);

// Floating-point operations of the algorithm: scores and weighted values of the visible pairs, and what prepares them.
template <typename T>
double AttentionFlops(const AttentionProblem<T>& problem);

// Upper bound, in bytes, of the working memory beyond inputs and results. Saturates instead of overflowing.
template <typename T>
double AttentionWorkspaceBytes(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_ATTENTION_H_
