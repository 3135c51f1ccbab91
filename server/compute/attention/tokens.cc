#include "server/compute/attention/tokens.h"

#include <new>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/projection.h"
#include "server/compute/attention/tokens_position.h"
#include "server/compute/convert.h"
#include "server/compute/tensor.h"

namespace attend::compute {
namespace {

template <typename T>
absl::Status CheckFinite(const Matrix<T>& matrix) {
  for (int64_t i = 0; i < matrix.rows; ++i) {
    if (!AllFinite(matrix.row(i), static_cast<size_t>(matrix.cols))) {
      return absl::OutOfRangeError(absl::StrCat("the output's projection overflows ", NameOf(DTypeOf<T>())));
    }
  }
  return absl::OkStatus();
}

// The three projections of a call, kept while the attention reads them.
template <typename T>
class Projected {
 public:
  Projected(runtime::BufferPool& pool, const AttentionProblem<T>& a)
      : query(pool, a.batch, a.n, a.heads, a.d),
        key(pool, a.batch, a.m, a.kv_heads, a.d_key),
        value(pool, a.batch, a.m, a.kv_heads, a.d_value) {}

  absl::Status Compute(runtime::Executor& executor, const TokensProblem<T>& problem,
                       const PlacedTokens<T>& tokens) const {
    const AttentionProblem<T>& a = problem.attention;
    const Matrix<const T> x(tokens.x, a.batch * a.n, problem.d_model);
    const Matrix<const T> context(tokens.context, a.batch * a.m, problem.d_context);
    const auto weights = [](const T* w, int64_t rows, const ProjectedHeads<T>& to) {
      return Matrix<const T>(w, rows, to.matrix().cols);
    };
    absl::Status done =
        ProjectRows(executor, x, weights(problem.w_q, problem.d_model, query), problem.b_q, query.matrix());
    if (!done.ok()) return done;
    done = ProjectRows(executor, context, weights(problem.w_k, problem.d_context, key), problem.b_k, key.matrix());
    if (!done.ok()) return done;
    return ProjectRows(executor, context, weights(problem.w_v, problem.d_context, value), problem.b_v, value.matrix());
  }

  ProjectedHeads<T> query;
  ProjectedHeads<T> key;
  ProjectedHeads<T> value;
};

template <typename T>
absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                 const TokensResult<T>& result) {
  AttentionProblem<T> attention = WithoutSinusoidalPosition(problem.attention);
  const int64_t rows = attention.batch * attention.n;
  const int64_t merged_cols = attention.heads * attention.d_value;
  AttentionResult<T> attended{{}, result.weights, result.scores, result.lse, result.entropy};
  std::optional<ProjectedHeads<T>> merged;
  if (problem.w_o == nullptr) {
    attended.output = {result.output, attention.n * merged_cols, attention.d_value, merged_cols};
  } else {
    merged.emplace(pool, attention.batch, attention.n, attention.heads, attention.d_value);
    attended.output = merged->heads();
  }
  {
    const Projected<T> projected(pool, attention);
    {
      PlacedTokens<T> tokens;
      if (absl::Status done = PlaceTokens(executor, pool, problem, tokens); !done.ok()) return done;
      if (absl::Status done = projected.Compute(executor, problem, tokens); !done.ok()) return done;
    }
    attention.query = projected.query.const_heads();
    attention.key = projected.key.const_heads();
    attention.value = projected.value.const_heads();
    if (absl::Status done = Attention(executor, pool, attention, attended); !done.ok()) return done;
  }
  const Matrix<T> output(result.output, rows, problem.w_o == nullptr ? merged_cols : problem.d_out);
  if (problem.w_o != nullptr) {
    const Matrix<T>& heads = merged->matrix();
    absl::Status done = ProjectRows(executor, Matrix<const T>(heads.data, heads.rows, heads.cols, heads.stride),
                                    Matrix<const T>(problem.w_o, merged_cols, problem.d_out), problem.b_o, output);
    if (!done.ok()) return done;
  } else if (problem.b_o != nullptr) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < merged_cols; ++j) output.row(i)[j] += problem.b_o[j];
    }
  }
  return CheckFinite(output);
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
