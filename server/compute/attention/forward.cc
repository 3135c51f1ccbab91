#include "server/compute/attention/forward.h"

#include <cmath>
#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/panel_attention.h"
#include "server/compute/attention/tile_products.h"
#include "server/compute/tensor.h"
#include "server/compute/vector_math.h"

namespace attend::compute {
namespace {

template <typename T>
absl::Status Overflow(absl::string_view what) {
  return absl::OutOfRangeError(absl::StrCat(what, " of the attention overflow ", NameOf(DTypeOf<T>())));
}

// A run of `count` keys in as few tiles as can be, of nearly the same width: a narrow last one would cost its products
// much of their speed.
template <typename T>
int64_t TileWidth(int64_t count) {
  const int64_t tiles = std::max<int64_t>(1, (count + TileShape<T>::kKeys - 1) / TileShape<T>::kKeys);
  return ((count + tiles - 1) / tiles + kTilePadding - 1) / kTilePadding * kTilePadding;
}

// Where a block's columns from `first` on are to be found later: in the scores, or in the weights that become of them.
template <typename T>
ScoreCopy<T> CopyTo(T* matrix, int64_t m, int64_t query, int64_t key) {
  if (matrix == nullptr) return {};
  return {matrix + query * m + key, m};
}

// One block of queries and the tile in hand.
template <typename T>
class BlockRun {
 public:
  BlockRun(const AttentionProblem<T>& problem, const QueryBlock& block, const HeadResult<T>& result,
           const TileScratch<T>& scratch, int worker)
      : problem_(problem),
        block_(block),
        result_(result),
        scratch_(scratch),
        worker_(worker),
        band_(VisibleBand(problem, block.batch)),
        softcap_(SoftcapOf(problem)),
        keys_begin_(std::max(band_.begin(block.first), block.first_key)),
        keys_end_(std::max(keys_begin_, std::min(band_.end(block.first + block.count - 1), block.end_key))),
        states_(scratch.States(worker)) {
    if (result.entropy == nullptr) states_.weighted = nullptr;
    if (result.output.cols != 0)
      output_ = Matrix<T>(result.output.row(block.first), block.count, problem.d_value, result.output.stride);
  }

  absl::Status Run() {
    Start();
    const int64_t width = TileWidth<T>(keys_end_ - keys_begin_);
    for (int64_t key = keys_begin_; key < keys_end_; key += width) {
      const int64_t keys = std::min(width, keys_end_ - key);
      if (absl::Status done = RunTile(key, keys); !done.ok()) return done;
    }
    return Finish();
  }

 private:
  void Start();
  absl::Status RunTile(int64_t key, int64_t keys);
  absl::Status Finish();
  // The matrix that keeps the masked scores while the tiles go by.
  T* kept() const { return result_.weights != nullptr ? result_.weights : result_.scores; }
  void FinishRowOfScores(int64_t row) const;
  void FinishRowOfWeights(int64_t row) const;

  const AttentionProblem<T>& problem_;
  const QueryBlock block_;
  const HeadResult<T>& result_;
  const TileScratch<T>& scratch_;
  const int worker_;
  const KeyBand band_;
  const T softcap_;
  const int64_t keys_begin_;
  const int64_t keys_end_;
  RowStates<T> states_;
  Matrix<T> output_;
};

template <typename T>
void BlockRun<T>::Start() {
  std::fill_n(states_.max, block_.count, -std::numeric_limits<T>::infinity());
  std::fill_n(states_.sum, block_.count, T{0});
  if (states_.weighted != nullptr) std::fill_n(states_.weighted, block_.count, T{0});
  for (int64_t r = 0; r < output_.rows; ++r) std::fill_n(output_.row(r), output_.cols, T{0});
}

template <typename T>
absl::Status BlockRun<T>::RunTile(int64_t key, int64_t keys) {
  const TilePlace tile{block_.batch, block_.head, block_.first, block_.count, key, keys};
  const Matrix<T> scores = scratch_.Scores(worker_, block_.count, keys);
  TileMask<T> mask = MaskOfTile(problem_.mask, band_, block_.batch, block_.head, block_.first, key, keys);
  mask.softcap = softcap_;
  if (absl::Status done = ComputeScores(problem_, tile, mask.band, scores); !done.ok()) return done;

  const TileOutcome outcome = SoftmaxTile(scores, Hides(mask, block_.count, keys) ? &mask : nullptr, states_,
                                          CopyTo(kept(), problem_.m, block_.first, key));
  if (!outcome.finite) return Overflow<T>("scores");
  if (output_.cols == 0) return absl::OkStatus();

  if (outcome.rescale) {
    for (int64_t r = 0; r < block_.count; ++r) {
      if (states_.correction[r] != 1) Scale(output_.row(r), states_.correction[r], output_.cols);
    }
  }
  return AddValues(problem_, tile, mask.band, scores, output_);
}

template <typename T>
void BlockRun<T>::FinishRowOfScores(int64_t row) const {
  const int64_t offset = (block_.first + row) * problem_.m;
  T* scores = result_.scores + offset;
  if (kept() != result_.scores)
    std::copy_n(kept() + offset + keys_begin_, keys_end_ - keys_begin_, scores + keys_begin_);
  std::fill(scores, scores + keys_begin_, -std::numeric_limits<T>::infinity());
  std::fill(scores + keys_end_, scores + problem_.m, -std::numeric_limits<T>::infinity());
}

template <typename T>
void BlockRun<T>::FinishRowOfWeights(int64_t row) const {
  T* weights = result_.weights + (block_.first + row) * problem_.m;
  std::fill(weights, weights + keys_begin_, T{0});
  std::fill(weights + keys_end_, weights + problem_.m, T{0});
  if (states_.sum[row] == 0) {
    std::fill(weights + keys_begin_, weights + keys_end_, T{0});
  } else {
    ExpShifted(weights + keys_begin_, states_.max[row], 1 / states_.sum[row], keys_end_ - keys_begin_);
  }
}

template <typename T>
absl::Status BlockRun<T>::Finish() {
  for (int64_t r = 0; r < block_.count; ++r) {
    const bool sees_a_key = states_.sum[r] > 0;
    const T log_sum = sees_a_key ? std::log(states_.sum[r]) : 0;
    if (result_.lse != nullptr) {
      result_.lse[block_.first + r] = sees_a_key ? states_.max[r] + log_sum : -std::numeric_limits<T>::infinity();
    }
    if (result_.max != nullptr) result_.max[block_.first + r] = states_.max[r];
    if (result_.total != nullptr) result_.total[block_.first + r] = states_.sum[r];
    if (result_.entropy != nullptr) {
      result_.entropy[block_.first + r] = sees_a_key ? log_sum - states_.weighted[r] / states_.sum[r] : 0;
    }
    if (result_.scores != nullptr) FinishRowOfScores(r);
    if (result_.weights != nullptr) FinishRowOfWeights(r);
    if (output_.cols == 0) continue;
    if (!Scale(output_.row(r), sees_a_key ? 1 / states_.sum[r] : T{0}, output_.cols)) return Overflow<T>("sums");
  }
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status SoftmaxBlock(const AttentionProblem<T>& problem, const QueryBlock& block, const HeadResult<T>& result,
                          const TileScratch<T>& scratch, int worker) {
  return BlockRun<T>(problem, block, result, scratch, worker).Run();
}

template <typename T>
absl::Status SoftmaxAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                              const AttentionProblem<T>& problem, const AttentionResult<T>& result) {
  if constexpr (std::is_same_v<T, float>) {
    if (SuitsPanels(problem, result)) return PanelAttention(executor, pool, problem, result);
  }
  const int64_t blocks = QueryBlocks<T>(problem.n);
  const int64_t tiles = problem.batch * problem.heads * blocks;
  if (tiles == 0) return absl::OkStatus();
  const TileScratch<T> scratch(pool, problem.n, problem.m, executor.max_workers());
  return executor.ForEachTile(
      tiles, AttentionFlops(problem) / static_cast<double>(tiles), [&](int64_t index, int worker) {
        const int64_t batch = index / blocks / problem.heads;
        const int64_t head = index / blocks % problem.heads;
        // The last queries first: with a causal mask theirs is the most work, and the short tiles fill the gaps.
        const QueryBlock block = BlockOf<T>(batch, head, blocks - 1 - index % blocks, problem.n);
        return SoftmaxBlock(problem, block, ResultOfHead(problem, result, batch, head), scratch, worker);
      });
}

template absl::Status SoftmaxBlock(const AttentionProblem<float>&, const QueryBlock&, const HeadResult<float>&,
                                   const TileScratch<float>&, int);
template absl::Status SoftmaxBlock(const AttentionProblem<double>&, const QueryBlock&, const HeadResult<double>&,
                                   const TileScratch<double>&, int);
template absl::Status SoftmaxAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                       const AttentionResult<float>&);
template absl::Status SoftmaxAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                       const AttentionResult<double>&);

}  // namespace attend::compute
