#include "server/compute/attention/tokens_backward.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/projection_backward.h"
#include "server/compute/attention/tokens_forward.h"
#include "server/compute/convert.h"
#include "server/compute/tensor.h"

namespace attend::compute {
namespace {

template <typename T>
Matrix<const T> AsConst(const Matrix<T>& a) {
  return Matrix<const T>(a.data, a.rows, a.cols, a.stride);
}

// One call: what the forward pass leaves for the backward pass.
template <typename T>
class TokensRun {
 public:
  TokensRun(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
            const TokensResult<T>& result, const T* grad_output, const TokensGradients<T>& gradients)
      : executor_(executor),
        pool_(pool),
        problem_(problem),
        result_(result),
        gradients_(gradients),
        attention_(WithoutSinusoidalPosition(problem.attention)),
        projected_(pool, attention_),
        merged_(pool, attention_.batch, attention_.n, attention_.heads, attention_.d_value),
        merged_slopes_(pool, attention_.batch, attention_.n, attention_.heads, attention_.d_value),
        slopes_(pool, attention_),
        output_slopes_(grad_output, attention_.batch * attention_.n, problem.d_out) {}

  absl::Status Run() {
    if (absl::Status done = PlaceTokens(executor_, pool_, problem_, tokens_); !done.ok()) return done;
    if (absl::Status done = ProjectTokens(executor_, problem_, tokens_, projected_); !done.ok()) return done;
    projected_.View(attention_);
    if (absl::Status done = BackThroughOutput(); !done.ok()) return done;
    const AttentionResult<T> attended{merged_.heads(), result_.weights, result_.scores, result_.lse, result_.entropy};
    const AttentionGradients<T> heads{slopes_.query.heads(), slopes_.key.heads(), slopes_.value.heads(),
                                      gradients_.parameters};
    absl::Status done =
        AttentionWithGradients(executor_, pool_, attention_, attended, merged_slopes_.const_heads(), heads);
    if (!done.ok()) return done;
    const Matrix<T> output(result_.output, output_slopes_.rows, output_slopes_.cols);
    if (done = ProjectOutput(executor_, problem_, AsConst(merged_.matrix()), output); !done.ok()) return done;
    return BackThroughProjections();
  }

 private:
  absl::Status BackThroughOutput() const;
  absl::Status BackThroughProjections() const;
  absl::Status CheckFinite() const;

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const TokensProblem<T>& problem_;
  const TokensResult<T>& result_;
  const TokensGradients<T>& gradients_;
  AttentionProblem<T> attention_;
  PlacedTokens<T> tokens_;
  const ProjectedTokens<T> projected_;
  const ProjectedHeads<T> merged_;
  const ProjectedHeads<T> merged_slopes_;
  const ProjectedTokens<T> slopes_;
  const Matrix<const T> output_slopes_;
};

// The slopes of the merged heads, which need nothing of the forward pass.
template <typename T>
absl::Status TokensRun<T>::BackThroughOutput() const {
  const Matrix<T>& to = merged_slopes_.matrix();
  if (problem_.w_o != nullptr) {
    const Operand<T> w_o(problem_.w_o, to.cols, problem_.d_out, problem_.d_out);
    return ParallelGemm(executor_, T{1}, output_slopes_, Transposed(w_o), T{0}, to);
  }
  for (int64_t i = 0; i < to.rows; ++i) std::copy_n(output_slopes_.row(i), to.cols, to.row(i));
  return absl::OkStatus();
}

template <typename T>
absl::Status TokensRun<T>::BackThroughProjections() const {
  const bool self = problem_.context == problem_.x;
  const Matrix<const T> x(tokens_.x, attention_.batch * attention_.n, problem_.d_model);
  const Matrix<const T> context(tokens_.context, attention_.batch * attention_.m, problem_.d_context);
  T* to_context = self ? gradients_.x : gradients_.context;
  const auto back = [&](const Matrix<const T>& from, const T* w, const ProjectedHeads<T>& slopes,
                        const ProjectionGradients<T>& to) {
    return ProjectionBackward(executor_, from, w, AsConst(slopes.matrix()), to);
  };
  absl::Status done = ProjectionBackward<T>(executor_, AsConst(merged_.matrix()), nullptr, output_slopes_,
                                            {nullptr, T{0}, gradients_.w_o, gradients_.b_o});
  if (!done.ok()) return done;
  done = back(x, problem_.w_q, slopes_.query, {gradients_.x, T{0}, gradients_.w_q, gradients_.b_q});
  if (!done.ok()) return done;
  const T before = self ? 1 : 0;
  done = back(context, problem_.w_k, slopes_.key, {to_context, before, gradients_.w_k, gradients_.b_k});
  if (!done.ok()) return done;
  done = back(context, problem_.w_v, slopes_.value, {to_context, T{1}, gradients_.w_v, gradients_.b_v});
  if (!done.ok()) return done;
  return CheckFinite();
}

template <typename T>
absl::Status TokensRun<T>::CheckFinite() const {
  const AttentionProblem<T>& a = attention_;
  const TokensProblem<T>& p = problem_;
  const TokensGradients<T>& g = gradients_;
  const std::pair<const T*, int64_t> all[] = {{g.x, a.batch * a.n * p.d_model},
                                              {g.context, a.batch * a.m * p.d_context},
                                              {g.w_q, p.d_model * a.heads * a.d},
                                              {g.w_k, p.d_context * a.kv_heads * a.d_key},
                                              {g.w_v, p.d_context * a.kv_heads * a.d_value},
                                              {g.w_o, a.heads * a.d_value * p.d_out},
                                              {g.b_q, a.heads * a.d},
                                              {g.b_k, a.kv_heads * a.d_key},
                                              {g.b_v, a.kv_heads * a.d_value},
                                              {g.b_o, p.d_out}};
  for (const auto& [data, count] : all) {
    if (data == nullptr || AllFinite(data, static_cast<size_t>(count))) continue;
    return absl::OutOfRangeError(absl::StrCat("gradients of the projections overflow ", NameOf(DTypeOf<T>())));
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status RunInMemory(runtime::Executor& executor, runtime::BufferPool& pool, const TokensProblem<T>& problem,
                         const TokensResult<T>& result, const T* grad_output, const TokensGradients<T>& gradients) {
  try {
    return TokensRun<T>(executor, pool, problem, result, grad_output, gradients).Run();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the gradients of the tokens");
  }
}

}  // namespace

absl::Status AttentionFromTokensWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                              const TokensProblem<float>& problem, const TokensResult<float>& result,
                                              const float* grad_output, const TokensGradients<float>& gradients) {
  return RunInMemory(executor, pool, problem, result, grad_output, gradients);
}

absl::Status AttentionFromTokensWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                              const TokensProblem<double>& problem, const TokensResult<double>& result,
                                              const double* grad_output, const TokensGradients<double>& gradients) {
  return RunInMemory(executor, pool, problem, result, grad_output, gradients);
}

template <typename T>
double TokensBackwardFlops(const TokensProblem<T>& problem) {
  // Each projection goes back in two products: to its input and to its weight.
  const double projections = TokensFlops(problem) - AttentionFlops(problem.attention);
  return 2 * projections + AttentionBackwardFlops(WithoutSinusoidalPosition(problem.attention));
}

template <typename T>
double TokensGradientsWorkspaceBytes(const TokensProblem<T>& problem, const TokensResult<T>& wanted, int workers) {
  const AttentionProblem<T> a = WithoutSinusoidalPosition(problem.attention);
  const double queries = static_cast<double>(a.batch) * static_cast<double>(a.n);
  const double keys = static_cast<double>(a.batch) * static_cast<double>(a.m);
  const double projected =
      queries * static_cast<double>(ProjectedStride<T>(a.heads * a.d)) +
      keys * static_cast<double>(ProjectedStride<T>(a.kv_heads * a.d_key) + ProjectedStride<T>(a.kv_heads * a.d_value));
  const double merged = 2 * queries * static_cast<double>(ProjectedStride<T>(a.heads * a.d_value));
  const double lse = queries * static_cast<double>(a.heads);
  return TokensWorkspaceBytes(problem, wanted, workers) + (projected + merged + lse) * static_cast<double>(sizeof(T)) +
         AttentionBackwardWorkspaceBytes(a, workers);
}

template double TokensBackwardFlops(const TokensProblem<float>&);
template double TokensBackwardFlops(const TokensProblem<double>&);
template double TokensGradientsWorkspaceBytes(const TokensProblem<float>&, const TokensResult<float>&, int);
template double TokensGradientsWorkspaceBytes(const TokensProblem<double>&, const TokensResult<double>&, int);

}  // namespace attend::compute
