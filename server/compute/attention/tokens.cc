#include "server/compute/attention/tokens.h"

#include <new>
#include <optional>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/projection.h"
#include "server/compute/attention/tokens_forward.h"
#include "server/compute/attention/tokens_position.h"

namespace attend::compute {
namespace {

template <typename T>
absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                 const TokensResult<T>& result) {
  AttentionProblem<T> attention = WithoutSinusoidalPosition(problem.attention);
  const int64_t merged_cols = attention.heads * attention.d_value;
  const Matrix<T> output(result.output, attention.batch * attention.n,
                         problem.w_o == nullptr ? merged_cols : problem.d_out);
  AttentionResult<T> attended{{}, result.weights, result.scores, result.lse, result.entropy};
  std::optional<ProjectedHeads<T>> own;
  Matrix<T> merged = output;
  attended.output = {result.output, attention.n * merged_cols, attention.d_value, merged_cols};
  if (problem.w_o != nullptr) {
    own.emplace(pool, attention.batch, attention.n, attention.heads, attention.d_value);
    merged = own->matrix();
    attended.output = own->heads();
  }
  {
    const ProjectedTokens<T> projected(pool, attention);
    {
      PlacedTokens<T> tokens;
      if (absl::Status done = PlaceTokens(executor, pool, problem, tokens); !done.ok()) return done;
      if (absl::Status done = ProjectTokens(executor, problem, tokens, projected); !done.ok()) return done;
    }
    projected.View(attention);
    if (absl::Status done = Attention(executor, pool, attention, attended); !done.ok()) return done;
  }
  return ProjectOutput(executor, problem, Matrix<const T>(merged.data, merged.rows, merged.cols, merged.stride),
                       output);
}

template <typename T>
absl::Status RunInMemory(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                         const TokensResult<T>& result) {
  try {
    return Run(executor, pool, problem, result);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the projections of the tokens");
  }
}

}  // namespace

absl::Status AttentionFromTokens(runtime::Executor& executor, runtime::BufferPool& pool,
                                 const TokensProblem<float>& problem, const TokensResult<float>& result) {
  return RunInMemory(executor, pool, problem, result);
}

absl::Status AttentionFromTokens(runtime::Executor& executor, runtime::BufferPool& pool,
                                 const TokensProblem<double>& problem, const TokensResult<double>& result) {
  return RunInMemory(executor, pool, problem, result);
}

}  // namespace attend::compute
