#include "server/compute/attention/backward.h"

#include <algorithm>
#include <new>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/generator_backward.h"
#include "server/compute/attention/softmax_backward.h"
#include "server/compute/convert.h"
#include "server/compute/tensor.h"

namespace attend::compute {
namespace {

// Calls row(data, cols) on every row of every gradient, a tile of work per kv head.
template <typename T, typename Row>
absl::Status ForEachGradientRow(runtime::Executor& executor, const AttentionProblem<T>& problem,
                                const AttentionGradients<T>& gradients, const Row& row) {
  const int64_t group = problem.heads / problem.kv_heads;
  const auto rows = [&](const HeadsView<T>& view, int64_t batch, int64_t head, int64_t count, int64_t cols) {
    for (int64_t i = 0; i < count; ++i) {
      if (absl::Status done = row(view.at(batch, head, i), cols); !done.ok()) return done;
    }
    return absl::OkStatus();
  };
  const double tile_flops = static_cast<double>(group * problem.n * problem.d + problem.m * problem.d_key);
  return executor.ForEachTile(problem.batch * problem.kv_heads, tile_flops, [&](int64_t index, int) {
    const int64_t batch = index / problem.kv_heads;
    const int64_t kv_head = index % problem.kv_heads;
    absl::Status done = rows(gradients.key, batch, kv_head, problem.m, problem.d_key);
    if (done.ok()) done = rows(gradients.value, batch, kv_head, problem.m, problem.d_value);
    for (int64_t head = kv_head * group; done.ok() && head < (kv_head + 1) * group; ++head) {
      done = rows(gradients.query, batch, head, problem.n, problem.d);
    }
    return done;
  });
}

template <typename T>
absl::Status CheckFinite(const T* values, int64_t count) {
  if (AllFinite(values, static_cast<size_t>(count))) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("gradients of the attention overflow ", NameOf(DTypeOf<T>())));
}

template <typename T>
absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                 const AttentionForward<T>& forward, const AttentionGradients<T>& gradients) {
  if (problem.kv_heads == 0) return absl::OkStatus();
  absl::Status done = ForEachGradientRow(executor, problem, gradients, [](T* row, int64_t cols) {
    std::fill_n(row, cols, T{0});
    return absl::OkStatus();
  });
  if (!done.ok()) return done;
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&problem.normalization)) {
    done = GeneratorBackward(executor, pool, problem, *generator, forward, gradients);
  } else {
    done = SoftmaxBackward(executor, pool, problem, forward, gradients);
  }
  if (!done.ok()) return done;
  if (gradients.bias != nullptr) {
    if (done = CheckFinite(gradients.bias, BiasElements(problem)); !done.ok()) return done;
  }
  return ForEachGradientRow(executor, problem, gradients, CheckFinite<T>);
}

template <typename T>
absl::Status RunInMemory(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                         const AttentionForward<T>& forward, const AttentionGradients<T>& gradients) {
  try {
    return Run(executor, pool, problem, forward, gradients);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory for the attention's gradients");
  }
}

}  // namespace

absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<float>& problem, const AttentionForward<float>& forward,
                               const AttentionGradients<float>& gradients) {
  return RunInMemory(executor, pool, problem, forward, gradients);
}

absl::Status AttentionBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<double>& problem, const AttentionForward<double>& forward,
                               const AttentionGradients<double>& gradients) {
  return RunInMemory(executor, pool, problem, forward, gradients);
}

}  // namespace attend::compute
