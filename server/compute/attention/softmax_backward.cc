#include "server/compute/attention/softmax_backward.h"

#include "server/compute/attention/backward_tile.h"
#include "server/compute/attention/band_strips.h"
#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/lse_rest.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/pair_blocks.h"
#include "server/compute/attention/score_gradient.h"
#include "server/compute/attention/tile_products.h"

namespace attend::compute {
namespace {

// Two tiles (a third with a softcap) and the deltas of a block's rows for each worker.
template <typename T>
class BackwardScratch {
 public:
  BackwardScratch(runtime::BufferPool& pool, const AttentionProblem<T>& problem, int workers)
      : tiles_(Tiles(problem)),
        rows_(Rows(problem)),
        stride_(Stride(problem)),
        buffer_(pool.AllocateArray<T>(static_cast<size_t>(workers) * Elements(problem))) {}

  static size_t Elements(const AttentionProblem<T>& problem) {
    return static_cast<size_t>(Tiles(problem) * Rows(problem) * Stride(problem) + kBlockQueries);
  }

  Matrix<T> Scores(int worker, int64_t rows, int64_t cols) const { return Matrix<T>(At(worker), rows, cols, stride_); }
  Matrix<T> Slopes(int worker, int64_t rows, int64_t cols) const {
    return Matrix<T>(At(worker) + rows_ * stride_, rows, cols, stride_);
  }
  Matrix<T> CapSlopes(int worker, int64_t rows, int64_t cols) const {
    return Matrix<T>(At(worker) + 2 * rows_ * stride_, rows, cols, stride_);
  }
  // In the memory of Slopes.
  RowStates<T> States(int worker) const {
    T* states = At(worker) + rows_ * stride_;
    return {states, states + rows_, nullptr, states + 2 * rows_};
  }
  T* Deltas(int worker) const { return At(worker) + tiles_ * rows_ * stride_; }

 private:
  // Whole cache lines, so that no two workers share one, and never a power of two between rows (see gemm.h).
  static int64_t Padded(int64_t count) { return (count + kTilePadding - 1) / kTilePadding * kTilePadding; }
  static int64_t Tiles(const AttentionProblem<T>& p) { return SoftcapOf(p) == 0 ? 2 : 3; }
  static int64_t Rows(const AttentionProblem<T>& p) { return Padded(std::min(p.n, BackwardTileShape<T>::kQueries)); }
  static int64_t Stride(const AttentionProblem<T>& p) {
    return Padded(std::min(p.m, BackwardTileShape<T>::kKeys)) + kTilePadding;
  }
  T* At(int worker) const { return buffer_.template as<T>() + worker * (tiles_ * rows_ * stride_ + kBlockQueries); }

  int64_t tiles_;
  int64_t rows_;
  int64_t stride_;
  runtime::Buffer buffer_;
};

// What all blocks of a call share.
template <typename T>
struct BackwardCall {
  const AttentionProblem<T>& problem;
  const AttentionForward<T>& forward;
  const PreparedGradients<T>& gradients;
  const BackwardScratch<T>& scratch;
  const T* lse_rest;  // [batch, heads, n]; null: all 0
  const runtime::Cancellation& cancellation;
};

// The pairs of one block and one head.
template <typename T>
class HeadBlock {
 public:
  HeadBlock(const BackwardCall<T>& call, const PairBlock& block, int64_t head, int worker)
      : call_(call),
        problem_(call.problem),
        block_(block),
        head_(head),
        worker_(worker),
        band_(VisibleBand(call.problem, block.batch)),
        softcap_(SoftcapOf(call.problem)),
        deltas_(call.scratch.Deltas(worker)) {}

  absl::Status Run() const {
    using Shape = BackwardTileShape<T>;
    if (!Sees(block_.query, block_.queries, block_.key, block_.keys)) return absl::OkStatus();
    ComputeDeltas();
    for (int64_t key = block_.key; key < block_.key + block_.keys; key += Shape::kKeys) {
      const int64_t keys = std::min(Shape::kKeys, block_.key + block_.keys - key);
      for (int64_t query = block_.query; query < block_.query + block_.queries; query += Shape::kQueries) {
        const int64_t queries = std::min(Shape::kQueries, block_.query + block_.queries - query);
        if (!Sees(query, queries, key, keys)) continue;
        const TilePlace tile{block_.batch, head_, query, queries, key, keys};
        if (absl::Status done = RunTile(tile); !done.ok()) return done;
      }
    }
    return absl::OkStatus();
  }

 private:
  // Whether the band lets any of the queries see any of the keys.
  bool Sees(int64_t query, int64_t queries, int64_t key, int64_t keys) const {
    return band_.begin(query) < key + keys && band_.end(query + queries - 1) > key;
  }

  void ComputeDeltas() const {
    for (int64_t i = 0; i < block_.queries; ++i) {
      deltas_[i] = Dot(call_.forward.output.at(block_.batch, head_, block_.query + i),
                       call_.forward.grad_output.at(block_.batch, head_, block_.query + i), problem_.d_value);
    }
  }

  Matrix<const T> OutputSlopes(const TilePlace& tile) const {
    const HeadsView<const T>& view = call_.forward.grad_output;
    return Matrix<const T>(view.at(tile.batch, tile.head, tile.query), tile.queries, problem_.d_value, view.row_stride);
  }

  absl::Status RunTile(const TilePlace& tile) const;
  absl::Status ComputeWeightSlopes(const TilePlace& tile, const KeyBand& band, const Matrix<T>& slopes) const;
  absl::Status AddValueGradients(const TilePlace& tile, const KeyBand& band, const Matrix<T>& weights) const;

  const BackwardCall<T>& call_;
  const AttentionProblem<T>& problem_;
  const PairBlock& block_;
  const int64_t head_;
  const int worker_;
  const KeyBand band_;
  const T softcap_;
  T* const deltas_;
};

template <typename T>
absl::Status HeadBlock<T>::RunTile(const TilePlace& tile) const {
  if (absl::Status wanted = call_.cancellation.Check(); !wanted.ok()) return wanted;
  const Matrix<T> scores = call_.scratch.Scores(worker_, tile.queries, tile.keys);
  const Matrix<T> slopes = call_.scratch.Slopes(worker_, tile.queries, tile.keys);
  TileMask<T> mask = MaskOfTile(problem_.mask, band_, tile.batch, tile.head, tile.query, tile.key, tile.keys);
  mask.softcap = softcap_;
  if (absl::Status done = ComputeScores(problem_, tile, mask.band, scores); !done.ok()) return done;
  if (absl::Status done = ComputeWeightSlopes(tile, mask.band, slopes); !done.ok()) return done;
  const Matrix<T> cap_slopes = call_.scratch.CapSlopes(worker_, tile.queries, tile.keys);
  const int64_t row = (tile.batch * problem_.heads + tile.head) * problem_.n + tile.query;
  const T* rest = call_.lse_rest == nullptr ? nullptr : call_.lse_rest + row;
  SoftmaxBackwardTile(scores, slopes, Hides(mask, tile.queries, tile.keys) ? &mask : nullptr,
                      RowGradients<T>{call_.forward.lse + row, rest, deltas_ + (tile.query - block_.query)},
                      cap_slopes.data);

  if (absl::Status done = AddValueGradients(tile, mask.band, scores); !done.ok()) return done;
  call_.gradients.bias.Add(tile, slopes);
  if (softcap_ != 0) MultiplyTile(slopes, cap_slopes);
  return call_.gradients.score.Add(tile, mask.band, slopes);
}

// slopes = grad_output value^T
template <typename T>
absl::Status HeadBlock<T>::ComputeWeightSlopes(const TilePlace& tile, const KeyBand& band,
                                               const Matrix<T>& slopes) const {
  const Matrix<const T> values(problem_.value.at(tile.batch, block_.kv_head, tile.key), tile.keys, problem_.d_value,
                               problem_.value.row_stride);
  return ForEachBandStrip(tile, band, [&](const BandStrip& strip) {
    return Gemm(T{1}, strip.Queries(OutputSlopes(tile)), Transposed(strip.Keys(values)), T{0}, strip.Of(slopes));
  });
}

// value gradient += weights^T grad_output
template <typename T>
absl::Status HeadBlock<T>::AddValueGradients(const TilePlace& tile, const KeyBand& band,
                                             const Matrix<T>& weights) const {
  const HeadsView<T>& to = call_.gradients.value;
  return ForEachBandStrip(tile, band, [&](const BandStrip& strip) {
    const Operand<T> part(strip.Of(weights));
    const Matrix<T> value(to.at(tile.batch, block_.kv_head, tile.key + strip.begin), part.cols, problem_.d_value,
                          to.row_stride);
    return Gemm(T{1}, Transposed(part), strip.Queries(OutputSlopes(tile)), T{1}, value);
  });
}

// The rests of all rows, [batch, heads, n], or nothing where no lse is large.
template <typename T>
absl::Status LseRests(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                      const T* lse, const BackwardScratch<T>& scratch, runtime::Buffer& rests) {
  using Shape = BackwardTileShape<T>;
  const int64_t rows = problem.batch * problem.heads * problem.n;
  if (!HasLargeLse(lse, rows)) return absl::OkStatus();
  rests = pool.AllocateArray<T>(static_cast<size_t>(rows));
  const int64_t blocks = (problem.n + Shape::kQueries - 1) / Shape::kQueries;
  const double flops = 2.0 * static_cast<double>(Shape::kQueries * problem.m) * static_cast<double>(problem.d);
  return executor.ForEachTile(problem.batch * problem.heads * blocks, flops, [&](int64_t index, int worker) {
    const int64_t head = index / blocks;
    const int64_t query = index % blocks * Shape::kQueries;
    const TilePlace place{
        head / problem.heads, head % problem.heads, query, std::min(Shape::kQueries, problem.n - query), 0, 0};
    const int64_t row = head * problem.n + query;
    return ComputeLseRest(problem, place, lse + row,
                          scratch.Scores(worker, place.queries, std::min(problem.m, Shape::kKeys)),
                          scratch.States(worker), rests.template as<T>() + row);
  });
}

}  // namespace

template <typename T>
absl::Status SoftmaxBackward(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                             const AttentionForward<T>& forward, const PreparedGradients<T>& gradients) {
  const BackwardScratch<T> scratch(pool, problem, executor.max_workers());
  runtime::Buffer rests;
  if (absl::Status done = LseRests(executor, pool, problem, forward.lse, scratch, rests); !done.ok()) return done;
  const BackwardCall<T> call{problem, forward, gradients, scratch, rests.template as<T>(), executor.cancellation()};
  const int64_t group = problem.kv_heads == 0 ? 0 : problem.heads / problem.kv_heads;
  const double pair_flops = static_cast<double>(group * (6 * problem.d + 4 * problem.d_value));
  const KvHeadRange all{0, problem.batch * problem.kv_heads, gradients.bias.HeadsSharePairs()};
  return ForEachPairBlock(executor, all, problem.kv_heads, problem.n, problem.m, pair_flops,
                          [&](const PairBlock& block, int worker) {
                            for (int64_t head = block.kv_head * group; head < (block.kv_head + 1) * group; ++head) {
                              absl::Status ran = HeadBlock<T>(call, block, head, worker).Run();
                              if (!ran.ok()) return ran;
                            }
                            return absl::OkStatus();
                          });
}

template <typename T>
double SoftmaxBackwardBytes(const AttentionProblem<T>& problem, int workers) {
  const double rests = static_cast<double>(problem.batch * problem.heads) * static_cast<double>(problem.n);
  return (workers * static_cast<double>(BackwardScratch<T>::Elements(problem)) + rests) * sizeof(T);
}

template absl::Status SoftmaxBackward(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                      const AttentionForward<float>&, const PreparedGradients<float>&);
template absl::Status SoftmaxBackward(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                      const AttentionForward<double>&, const PreparedGradients<double>&);
template double SoftmaxBackwardBytes(const AttentionProblem<float>&, int);
template double SoftmaxBackwardBytes(const AttentionProblem<double>&, int);

}  // namespace attend::compute
