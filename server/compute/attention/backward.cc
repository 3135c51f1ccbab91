#include "server/compute/attention/backward.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/generator_backward.h"
#include "server/compute/attention/head_products.h"
#include "server/compute/attention/prepare_backward.h"
#include "server/compute/attention/score_gradient.h"
#include "server/compute/attention/softmax_backward.h"
#include "server/compute/convert.h"
#include "server/compute/tensor.h"

namespace attend::compute {
namespace {

// The gradients that rows are added to, with their columns.
template <typename T>
struct GradientRows {
  HeadsView<T> query;
  int64_t query_cols = 0;
  HeadsView<T> key;
  int64_t key_cols = 0;
  HeadsView<T> value;
};

// Calls row(data, cols) on every row, a tile of work per kv head.
template <typename T, typename Row>
absl::Status ForEachRow(runtime::Executor& executor, const AttentionProblem<T>& problem, const GradientRows<T>& of,
                        const Row& row) {
  const int64_t group = problem.kv_heads == 0 ? 0 : problem.heads / problem.kv_heads;
  const auto rows = [&](const HeadsView<T>& view, int64_t batch, int64_t head, int64_t count, int64_t cols) {
    for (int64_t i = 0; i < count; ++i) {
      if (absl::Status done = row(view.at(batch, head, i), cols); !done.ok()) return done;
    }
    return absl::OkStatus();
  };
  const double tile_flops = static_cast<double>(group * problem.n * of.query_cols + problem.m * of.key_cols);
  return executor.ForEachTile(problem.batch * problem.kv_heads, tile_flops, [&](int64_t index, int) {
    const int64_t batch = index / problem.kv_heads;
    const int64_t kv_head = index % problem.kv_heads;
    absl::Status done = rows(of.key, batch, kv_head, problem.m, of.key_cols);
    if (done.ok()) done = rows(of.value, batch, kv_head, problem.m, problem.d_value);
    for (int64_t head = kv_head * group; done.ok() && head < (kv_head + 1) * group; ++head) {
      done = rows(of.query, batch, head, problem.n, of.query_cols);
    }
    return done;
  });
}

// Calls values(data, count) on chunks of an array, a tile of work each.
template <typename T, typename Values>
absl::Status ForEachChunk(runtime::Executor& executor, T* data, int64_t count, const Values& values) {
  constexpr int64_t kChunk = 1 << 18;
  return executor.ForEachTile((count + kChunk - 1) / kChunk, kChunk, [&](int64_t index, int) {
    return values(data + index * kChunk, std::min(kChunk, count - index * kChunk));
  });
}

// Calls values(data, count) on every parameter's gradient that is wanted, chunk by chunk.
template <typename T, typename Values>
absl::Status ForEachParameter(runtime::Executor& executor, const AttentionProblem<T>& problem,
                              const ParameterGradients<T>& of, const Values& values) {
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score);
  const int64_t h = additive == nullptr ? 0 : additive->h;
  const std::pair<T*, int64_t> all[] = {{of.bias, BiasElements(problem)},
                                        {of.w_query, h * problem.d},
                                        {of.w_key, h * problem.d_key},
                                        {of.w_score, h},
                                        {of.w_bilinear, problem.d * problem.d_key}};
  for (const auto& [data, count] : all) {
    if (data == nullptr) continue;
    if (absl::Status done = ForEachChunk(executor, data, count, values); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status SetZero(T* values, int64_t count) {
  std::fill_n(values, count, T{0});
  return absl::OkStatus();
}

template <typename T>
absl::Status CheckFinite(T* values, int64_t count) {
  if (AllFinite(values, static_cast<size_t>(count))) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("gradients of the attention overflow ", NameOf(DTypeOf<T>())));
}

// From the prepared problem's gradients, which start as zero, to those of the problem as it came.
template <typename T>
absl::Status RunPrepared(runtime::Executor& executor, runtime::BufferPool& pool, const PrepareBackward<T>& way,
                         const AttentionForward<T>& forward, const AttentionGradients<T>& gradients) {
  const AttentionProblem<T>& ready = way.ready();
  const BiasGradient<T> bias(pool, ready, gradients.parameters.bias);
  const ScoreGradient<T> score(pool, ready, way.query_slopes(), way.key_slopes());
  const PreparedGradients<T> prepared{score, bias, gradients.value};
  absl::Status done;
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&ready.normalization)) {
    done = GeneratorBackward(executor, pool, ready, *generator, forward, prepared);
  } else {
    done = SoftmaxBackward(executor, pool, ready, forward, prepared);
  }
  if (!done.ok()) return done;
  bias.Finish();
  score.FinishWScore(gradients.parameters.w_score);
  return way.Finish(executor);
}

template <typename T>
absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                 const AttentionForward<T>& forward, const AttentionGradients<T>& gradients) {
  const GradientRows<T> rows{gradients.query, problem.d, gradients.key, problem.d_key, gradients.value};
  absl::Status zeroed = ForEachParameter(executor, problem, gradients.parameters, SetZero<T>);
  if (!zeroed.ok()) return zeroed;
  if (problem.batch == 0 || problem.heads == 0 || problem.kv_heads == 0) {
    return ForEachRow(executor, problem, rows, SetZero<T>);
  }
  PrepareBackward<T> way(pool, problem, gradients);
  if (absl::Status done = way.Prepare(executor); !done.ok()) return done;
  const GradientRows<T> sums{way.query_slopes(), way.ready().d, way.key_slopes(), way.ready().d_key, gradients.value};
  if (absl::Status done = ForEachRow(executor, problem, sums, SetZero<T>); !done.ok()) return done;
  if (absl::Status done = RunPrepared(executor, pool, way, forward, gradients); !done.ok()) return done;
  if (absl::Status done = ForEachParameter(executor, problem, gradients.parameters, CheckFinite<T>); !done.ok())
    return done;
  return ForEachRow(executor, problem, rows, CheckFinite<T>);
}

// A generator's gradients do not need its lse.
template <typename T>
bool NeedsLse(const AttentionProblem<T>& problem) {
  return std::holds_alternative<SoftmaxNormalization>(problem.normalization);
}

template <typename T>
absl::Status RunBoth(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                     AttentionResult<T> result, const HeadsView<const T>& grad_output,
                     const AttentionGradients<T>& gradients) {
  result.backward_follows = true;
  runtime::Buffer lse;
  if (result.lse == nullptr && NeedsLse(problem)) {
    lse = pool.AllocateArray<T>(static_cast<size_t>(problem.batch * problem.heads * problem.n));
    result.lse = lse.template as<T>();
  }
  if (absl::Status done = Attention(executor, pool, problem, result); !done.ok()) return done;
  const AttentionForward<T> forward{AsConst(result.output), result.lse, grad_output};
  return Run(executor, pool, problem, forward, gradients);
}

template <typename Function>
absl::Status InMemory(const Function& run) {
  try {
    return run();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the attention's gradients");
  }
}

}  // namespace

absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<float>& problem, const AttentionForward<float>& forward,
                               const AttentionGradients<float>& gradients) {
  return InMemory([&] { return Run(executor, pool, problem, forward, gradients); });
}

absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<double>& problem, const AttentionForward<double>& forward,
                               const AttentionGradients<double>& gradients) {
  return InMemory([&] { return Run(executor, pool, problem, forward, gradients); });
}

absl::Status AttentionWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                    const AttentionProblem<float>& problem, const AttentionResult<float>& result,
                                    const HeadsView<const float>& grad_output,
                                    const AttentionGradients<float>& gradients) {
  return InMemory([&] { return RunBoth(executor, pool, problem, result, grad_output, gradients); });
}

absl::Status AttentionWithGradients(runtime::Executor& executor, runtime::BufferPool& pool,
                                    const AttentionProblem<double>& problem, const AttentionResult<double>& result,
                                    const HeadsView<const double>& grad_output,
                                    const AttentionGradients<double>& gradients) {
  return InMemory([&] { return RunBoth(executor, pool, problem, result, grad_output, gradients); });
}

}  // namespace attend::compute
