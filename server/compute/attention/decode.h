// Softmax attention of few queries over many keys: the keys are split into ranges, each a tile of work of its own, and
// the partial results are merged by their lse. One head alone then keeps every thread busy, and a range of keys is read
// from memory once for all the heads that share it.
//
// The ranges and the order in which they are merged depend on the problem's shape alone.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_DECODE_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_DECODE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Up to this many queries make too few tiles otherwise.
inline constexpr int64_t kDecodeQueries = 16;

// Whether DecodeAttention serves these results: few queries, more than one range of keys, and neither weights (which
// need the whole row's lse) nor scores wanted.
template <typename T>
bool IsDecoding(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted);

// As SoftmaxAttention. REQUIRES: the problem is prepared; IsDecoding.
template <typename T>
absl::Status DecodeAttention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                             const AttentionResult<T>& result);

// The memory of the partial results, bytes.
template <typename T>
double PartialResultBytes(const AttentionProblem<T>& problem);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_DECODE_H_
