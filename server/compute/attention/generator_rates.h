// The rates of one head's generator: what generator_exp makes of the masked scores. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_RATES_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_RATES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/problem.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// rates [n, n], contiguous: rate(score) off the diagonal, 0 on it and where masked. `wanted` takes scores and lse on
// the way, where it has a place for them. Returns OUT_OF_RANGE where a visible score or a rate is past T's largest
// number.
template <typename T>
absl::Status ComputeRates(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                          const GeneratorExpNormalization& generator, int64_t batch, int64_t head,
                          const HeadResult<T>& wanted, const Matrix<T>& rates);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_GENERATOR_RATES_H_
