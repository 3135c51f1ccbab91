#include "server/compute/attention/generator_backward.h"

#include <algorithm>
#include <cmath>

#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/generator_attention.h"
#include "server/compute/attention/generator_rates.h"
#include "server/compute/attention/pair_blocks.h"
#include "server/compute/attention/score_gradient.h"
#include "server/compute/matrix_exp/frechet.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// d rate / d score, from the rate itself.
template <typename T>
T RateSlope(Rate rate, T value) {
  switch (rate) {
    case Rate::kExp:
      return value;
    case Rate::kSoftplus:
      return -std::expm1(-value);
    case Rate::kRelu:
      return value > 0 ? T{1} : T{0};
  }
  return 0;
}

// One head, with [n, n] matrices of its own.
template <typename T>
class HeadBackward {
 public:
  HeadBackward(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
               const GeneratorExpNormalization& generator, const AttentionForward<T>& forward,
               const PreparedGradients<T>& gradients)
      : executor_(executor),
        pool_(pool),
        problem_(problem),
        generator_(generator),
        forward_(forward),
        gradients_(gradients),
        rates_buffer_(pool.AllocateArray<T>(Elements())),
        slopes_buffer_(pool.AllocateArray<T>(Elements())),
        weights_buffer_(pool.AllocateArray<T>(Elements())),
        adjoint_buffer_(pool.AllocateArray<T>(Elements())),
        rates_(Square(rates_buffer_)),
        slopes_(Square(slopes_buffer_)),
        weights_(Square(weights_buffer_)),
        adjoint_(Square(adjoint_buffer_)) {}

  absl::Status Run(int64_t batch, int64_t head);

 private:
  static constexpr HeadResult<T> kNothing{};

  size_t Elements() const { return static_cast<size_t>(problem_.n * problem_.n); }
  Matrix<T> Square(const runtime::Buffer& buffer) const { return Matrix<T>(buffer.as<T>(), problem_.n, problem_.n); }
  static Matrix<const T> AsConst(const Matrix<T>& a) { return Matrix<const T>(a.data, a.rows, a.cols, a.stride); }

  // slopes_ [i, j]: from those of the rates to those of the scores.
  void ThroughRates() const;
  absl::Status ToInputs(int64_t batch, int64_t head) const;

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const AttentionProblem<T>& problem_;
  const GeneratorExpNormalization& generator_;
  const AttentionForward<T>& forward_;
  const PreparedGradients<T>& gradients_;
  const runtime::Buffer rates_buffer_, slopes_buffer_, weights_buffer_, adjoint_buffer_;
  const Matrix<T> rates_, slopes_, weights_, adjoint_;
};

template <typename T>
absl::Status HeadBackward<T>::Run(int64_t batch, int64_t head) {
  const int64_t n = problem_.n;
  const int64_t kv_head = head / (problem_.heads / problem_.kv_heads);
  absl::Status done = ComputeRates(executor_, pool_, problem_, generator_, batch, head, kNothing, rates_);
  if (!done.ok()) return done;
  const Operand<T> output_slopes(forward_.grad_output.at(batch, head), n, problem_.d_value,
                                 forward_.grad_output.row_stride);
  const Operand<T> values(problem_.value.at(batch, kv_head), n, problem_.d_value, problem_.value.row_stride);
  done = ParallelGemm(executor_, T{1}, output_slopes, Transposed(values), T{0}, slopes_);
  if (!done.ok()) return done;
  done =
      GeneratorExpAdjoint<T>(executor_, pool_, AsConst(rates_), generator_.time, AsConst(slopes_), weights_, adjoint_);
  if (!done.ok()) return done;
  const HeadsView<T>& to = gradients_.value;
  done = ParallelGemm(executor_, T{1}, Transposed(Operand<T>(weights_)), output_slopes, T{1},
                      Matrix<T>(to.at(batch, kv_head), n, problem_.d_value, to.row_stride));
  if (!done.ok()) return done;
  ThroughRates();
  return ToInputs(batch, head);
}

template <typename T>
void HeadBackward<T>::ThroughRates() const {
  for (int64_t i = 0; i < problem_.n; ++i) {
    const T* rates = rates_.row(i);
    const T* adjoint = adjoint_.row(i);
    T* slopes = slopes_.row(i);
    for (int64_t j = 0; j < problem_.n; ++j) {
      slopes[j] = rates[j] == 0 ? 0 : adjoint[j] * RateSlope(generator_.rate, rates[j]);
    }
    slopes[i] = 0;
  }
}

template <typename T>
absl::Status HeadBackward<T>::ToInputs(int64_t batch, int64_t head) const {
  const int64_t n = problem_.n;
  const KvHeadRange here{batch * problem_.kv_heads + head / (problem_.heads / problem_.kv_heads), 1};
  const KeyBand band = VisibleBand(problem_, batch);
  const double pair_flops = 4.0 * static_cast<double>(problem_.d);
  return ForEachPairBlock(executor_, here, problem_.kv_heads, n, n, pair_flops, [&](const PairBlock& block, int) {
    const TilePlace tile{batch, head, block.query, block.queries, block.key, block.keys};
    const Matrix<T> slopes(slopes_.row(block.query) + block.key, block.queries, block.keys, slopes_.stride);
    gradients_.bias.Add(tile, slopes);
    return gradients_.score.Add(tile, band.Tile(tile.query, tile.key, tile.keys), slopes);
  });
}

}  // namespace

template <typename T>
absl::Status GeneratorBackward(runtime::Executor& executor, runtime::BufferPool& pool,
                               const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator,
                               const AttentionForward<T>& forward, const PreparedGradients<T>& gradients) {
  const auto run_kv_head = [&](runtime::Executor& on, int64_t index) {
    const int64_t group = problem.heads / problem.kv_heads;
    HeadBackward<T> backward(on, pool, problem, generator, forward, gradients);
    for (int64_t k = 0; k < group; ++k) {
      absl::Status done = backward.Run(index / problem.kv_heads, index % problem.kv_heads * group + k);
      if (!done.ok()) return done;
    }
    return absl::OkStatus();
  };
  // Heads that add to the same pairs follow one another.
  const int64_t kv_heads = problem.batch * problem.kv_heads;
  const int64_t at_once = gradients.bias.HeadsSharePairs() ? 1 : std::max<int64_t>(kv_heads, 1);
  for (int64_t first = 0; first < kv_heads; first += at_once) {
    if (problem.n <= kLargestWholeHead) {
      const double tile_flops = AttentionBackwardFlops(problem) / static_cast<double>(kv_heads);
      absl::Status done = executor.ForEachTile(at_once, tile_flops, [&](int64_t index, int) {
        runtime::InlineExecutor here(executor.cancellation());
        return run_kv_head(here, first + index);
      });
      if (!done.ok()) return done;
      continue;
    }
    for (int64_t index = first; index < first + at_once; ++index) {
      if (absl::Status done = run_kv_head(executor, index); !done.ok()) return done;
    }
  }
  return absl::OkStatus();
}

template <typename T>
double GeneratorBackwardBytes(const AttentionProblem<T>& problem) {
  const auto n = static_cast<double>(problem.n);
  return 4 * n * n * sizeof(T) + GeneratorExpAdjointBytes(problem.n);
}

template absl::Status GeneratorBackward(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                        const GeneratorExpNormalization&, const AttentionForward<float>&,
                                        const PreparedGradients<float>&);
template absl::Status GeneratorBackward(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                        const GeneratorExpNormalization&, const AttentionForward<double>&,
                                        const PreparedGradients<double>&);
template double GeneratorBackwardBytes(const AttentionProblem<float>&);
template double GeneratorBackwardBytes(const AttentionProblem<double>&);

}  // namespace attend::compute
