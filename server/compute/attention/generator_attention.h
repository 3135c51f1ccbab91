// Attention as a Lie group action: output = exp(time * G) value. Thread-safe.
//
// Small heads are one tile of work each; large heads follow one another, each split over the executor.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_ATTENTION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_ATTENTION_H_

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Heads of at most this many queries are not split.
inline constexpr int64_t kLargestWholeHead = 256;

// REQUIRES: the problem is prepared (see prepare.h); n = m; its normalization is `generator`.
// Returns OUT_OF_RANGE where a visible score, a rate or an output is past T's largest number.
template <typename T>
absl::Status GeneratorAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                                const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator,
                                const AttentionResult<T>& result);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_ATTENTION_H_
