#include "server/compute/attention/attention.h"

#include <new>

#include "server/compute/attention/decode.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/generator_attention.h"
#include "server/compute/attention/prepare.h"

namespace attend::compute {
namespace {

template <typename T>
absl::Status Dispatch(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                      const AttentionResult<T>& result) {
  try {
    PreparedAttention<T> prepared{problem, {}, {}};
    if (absl::Status done = Prepare(executor, pool, prepared); !done.ok()) return done;
    if (const auto* generator = std::get_if<GeneratorExpNormalization>(&problem.normalization)) {
      return GeneratorAttention(executor, pool, prepared.problem, *generator, result);
    }
    if (IsDecoding(prepared.problem, result)) return DecodeAttention(executor, pool, prepared.problem, result);
    return SoftmaxAttention(executor, pool, prepared.problem, result);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the attention's tiles");
  }
}

}  // namespace

absl::Status Attention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<float>& problem,
                       const AttentionResult<float>& result) {
  return Dispatch(executor, pool, problem, result);
}

absl::Status Attention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<double>& problem,
                       const AttentionResult<double>& result) {
  return Dispatch(executor, pool, problem, result);
}

}  // namespace attend::compute
