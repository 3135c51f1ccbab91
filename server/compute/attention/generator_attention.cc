#include "server/compute/attention/generator_attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/generator_rates.h"
#include "server/compute/convert.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/parallel_gemm.h"
#include "server/compute/tensor.h"
#include "server/compute/vector_math.h"

namespace attend::compute {
namespace {

template <typename T>
absl::Status Overflow(absl::string_view what) {
  return absl::OutOfRangeError(absl::StrCat(what, " of the generator overflow ", NameOf(DTypeOf<T>())));
}

// One head: its rates, then their exponential or its action.
template <typename T>
class HeadRun {
 public:
  HeadRun(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
          const GeneratorExpNormalization& generator, int64_t batch, int64_t head, const HeadResult<T>& result)
      : executor_(executor),
        pool_(pool),
        problem_(problem),
        generator_(generator),
        batch_(batch),
        head_(head),
        result_(result),
        n_(problem.n),
        rates_buffer_(pool.AllocateArray<T>(static_cast<size_t>(n_ * n_))),
        rates_(rates_buffer_.template as<T>(), n_, n_) {}

  absl::Status Run() {
    absl::Status done = ComputeRates(executor_, pool_, problem_, generator_, batch_, head_, result_, rates_);
    if (!done.ok()) return done;
    const bool needs_weights = result_.weights != nullptr || result_.entropy != nullptr;
    done = needs_weights || ExpIsCheaper() ? ThroughExp() : ThroughAction();
    if (!done.ok()) return done;
    for (int64_t i = 0; i < n_; ++i) {
      if (!AllFinite(result_.output.row(i), static_cast<size_t>(problem_.d_value))) return Overflow<T>("sums");
    }
    return absl::OkStatus();
  }

 private:
  bool ExpIsCheaper() const;
  absl::Status ThroughExp();
  absl::Status ThroughAction();
  Matrix<const T> Values() const {
    const int64_t head = head_ / (problem_.heads / problem_.kv_heads);
    return Matrix<const T>(problem_.value.at(batch_, head), n_, problem_.d_value, problem_.value.row_stride);
  }
  Matrix<const T> Rates() const { return Matrix<const T>(rates_.data, n_, n_); }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const AttentionProblem<T>& problem_;
  const GeneratorExpNormalization& generator_;
  const int64_t batch_;
  const int64_t head_;
  const HeadResult<T>& result_;
  const int64_t n_;
  runtime::Buffer rates_buffer_;
  Matrix<T> rates_;
};

template <typename T>
bool HeadRun<T>::ExpIsCheaper() const {
  double largest = 0;
  for (int64_t i = 0; i < n_; ++i) largest = std::max(largest, static_cast<double>(Sum(rates_.row(i), n_)));
  const double rate_time = std::min(generator_.time * largest, std::numeric_limits<double>::max());
  const double size = static_cast<double>(n_);
  const double product = 2 * size * size * static_cast<double>(problem_.d_value);
  return GeneratorExpFlops<T>(n_, rate_time) + product <= GeneratorActionFlops<T>(n_, problem_.d_value, rate_time);
}

template <typename T>
absl::Status HeadRun<T>::ThroughExp() {
  runtime::Buffer own;
  if (result_.weights == nullptr) own = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  const Matrix<T> weights(result_.weights != nullptr ? result_.weights : own.template as<T>(), n_, n_);
  MatrixExpReport report;
  absl::Status done = GeneratorExp<T>(executor_, pool_, Rates(), generator_.time, weights, report);
  if (!done.ok()) return done;
  if (result_.entropy != nullptr) {
    for (int64_t i = 0; i < n_; ++i) result_.entropy[i] = std::max(T{0}, Entropy(weights.row(i), n_));
  }
  return ParallelGemm(executor_, T{1}, weights, Values(), T{0}, result_.output);
}

template <typename T>
absl::Status HeadRun<T>::ThroughAction() {
  if (problem_.d_value == 0) return absl::OkStatus();
  return GeneratorAction<T>(executor_, pool_, Rates(), generator_.time, Values(), result_.output);
}

}  // namespace

template <typename T>
absl::Status GeneratorAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                                const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator,
                                const AttentionResult<T>& result) {
  const int64_t heads = problem.batch * problem.heads;
  if (heads == 0 || problem.n == 0) return absl::OkStatus();
  const auto run_head = [&](runtime::Executor& on, int64_t index) {
    const int64_t batch = index / problem.heads;
    const int64_t head = index % problem.heads;
    const HeadResult<T> wanted = ResultOfHead(problem, result, batch, head);
    return HeadRun<T>(on, pool, problem, generator, batch, head, wanted).Run();
  };
  if (problem.n <= kLargestWholeHead) {
    const double tile_flops = AttentionFlops(problem) / static_cast<double>(heads);
    return executor.ForEachTile(heads, tile_flops, [&](int64_t index, int) {
      runtime::InlineExecutor here(executor.cancellation());
      return run_head(here, index);
    });
  }
  for (int64_t index = 0; index < heads; ++index) {
    if (absl::Status done = run_head(executor, index); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template absl::Status GeneratorAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                         const GeneratorExpNormalization&, const AttentionResult<float>&);
template absl::Status GeneratorAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                         const GeneratorExpNormalization&, const AttentionResult<double>&);

}  // namespace attend::compute
