#include "server/compute/attention/tokens_forward.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
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

template <typename T>
void CopyWithBias(const Matrix<const T>& merged, const T* bias, const Matrix<T>& output) {
  for (int64_t i = 0; i < output.rows; ++i) {
    if (merged.row(i) != output.row(i)) std::copy_n(merged.row(i), output.cols, output.row(i));
    if (bias == nullptr) continue;
    for (int64_t j = 0; j < output.cols; ++j) output.row(i)[j] += bias[j];
  }
}

}  // namespace

template <typename T>
absl::Status ProjectTokens(runtime::Executor& executor, const TokensProblem<T>& problem, const PlacedTokens<T>& tokens,
                           const ProjectedTokens<T>& to) {
  const AttentionProblem<T>& a = problem.attention;
  const Matrix<const T> x(tokens.x, a.batch * a.n, problem.d_model);
  const Matrix<const T> context(tokens.context, a.batch * a.m, problem.d_context);
  const auto weights = [](const T* w, int64_t rows, const ProjectedHeads<T>& heads) {
    return Matrix<const T>(w, rows, heads.matrix().cols);
  };
  absl::Status done =
      ProjectRows(executor, x, weights(problem.w_q, problem.d_model, to.query), problem.b_q, to.query.matrix());
  if (!done.ok()) return done;
  done = ProjectRows(executor, context, weights(problem.w_k, problem.d_context, to.key), problem.b_k, to.key.matrix());
  if (!done.ok()) return done;
  return ProjectRows(executor, context, weights(problem.w_v, problem.d_context, to.value), problem.b_v,
                     to.value.matrix());
}

template <typename T>
absl::Status ProjectOutput(runtime::Executor& executor, const TokensProblem<T>& problem, const Matrix<const T>& merged,
                           const Matrix<T>& output) {
  if (problem.w_o == nullptr) {
    CopyWithBias(merged, problem.b_o, output);
  } else {
    const Matrix<const T> w_o(problem.w_o, merged.cols, problem.d_out);
    absl::Status done = ProjectRows(executor, merged, w_o, problem.b_o, output);
    if (!done.ok()) return done;
  }
  return CheckFinite(output);
}

template absl::Status ProjectTokens(runtime::Executor&, const TokensProblem<float>&, const PlacedTokens<float>&,
                                    const ProjectedTokens<float>&);
template absl::Status ProjectTokens(runtime::Executor&, const TokensProblem<double>&, const PlacedTokens<double>&,
                                    const ProjectedTokens<double>&);
template absl::Status ProjectOutput(runtime::Executor&, const TokensProblem<float>&, const Matrix<const float>&,
                                    const Matrix<float>&);
template absl::Status ProjectOutput(runtime::Executor&, const TokensProblem<double>&, const Matrix<const double>&,
                                    const Matrix<double>&);

}  // namespace attend::compute
