#include "server/compute/attention/decode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/few_queries.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/panel_attention.h"

namespace attend::compute {
namespace {

// Keys of a range: one tile of scores, whose keys and values stay in the second-level cache for the heads that share
// them.
template <typename T>
constexpr int64_t kRangeKeys = TileShape<T>::kKeys;

template <typename T>
int64_t RangesOf(const AttentionProblem<T>& problem) {
  return (problem.m + kRangeKeys<T> - 1) / kRangeKeys<T>;
}

// The partial results of every head and range: output [n, d_value], then total and entropy, [n] each, and max [n].
template <typename T>
class Partials {
 public:
  Partials(runtime::BufferPool& pool, const AttentionProblem<T>& problem)
      : n_(problem.n),
        d_value_(problem.d_value),
        ranges_(RangesOf(problem)),
        buffer_(pool.AllocateArray<T>(Parts(problem) * static_cast<size_t>(Elements()))),
        max_(pool.AllocateArray<double>(Parts(problem) * static_cast<size_t>(n_))) {}

  HeadResult<T> At(int64_t head, int64_t range) const {
    const int64_t part = head * ranges_ + range;
    T* output = buffer_.template as<T>() + part * Elements();
    T* total = output + n_ * d_value_;
    HeadResult<T> result;
    result.output = Matrix<T>(output, n_, d_value_);
    result.total = total;
    result.entropy = total + n_;
    result.max = max_.template as<double>() + part * n_;
    return result;
  }
  int64_t ranges() const { return ranges_; }

 private:
  static size_t Parts(const AttentionProblem<T>& problem) {
    return static_cast<size_t>(problem.batch * problem.heads * RangesOf(problem));
  }
  int64_t Elements() const { return n_ * (d_value_ + 2); }

  int64_t n_;
  int64_t d_value_;
  int64_t ranges_;
  runtime::Buffer buffer_;
  runtime::Buffer max_;
};

// A row's sums over all ranges. From maxima and totals, not from their lse: of logits of a thousand a lse in float32
// has lost what tells two ranges apart.
template <typename T>
class MergedRow {
 public:
  MergedRow(const Partials<T>& partials, int64_t head, int64_t row) : partials_(partials), head_(head), row_(row) {
    for (int64_t range = 0; range < partials.ranges(); ++range) {
      largest_ = std::max(largest_, partials.At(head, range).max[row]);
    }
    if (!sees_key()) return;
    for (int64_t range = 0; range < partials.ranges(); ++range) total_ += Total(range);
  }

  bool sees_key() const { return largest_ > -std::numeric_limits<double>::infinity(); }
  double lse() const { return sees_key() ? largest_ + std::log(total_) : largest_; }
  // Of a range in the row's weights.
  double Share(int64_t range) const { return sees_key() ? Total(range) / total_ : 0; }

 private:
  double Total(int64_t range) const {
    const HeadResult<T> part = partials_.At(head_, range);
    return static_cast<double>(part.total[row_]) * std::exp(part.max[row_] - largest_);
  }

  const Partials<T>& partials_;
  const int64_t head_;
  const int64_t row_;
  double largest_ = -std::numeric_limits<double>::infinity();
  double total_ = 0;
};

// A row of the whole from its parts. Its entropy is the mean of theirs and that of their shares.
template <typename T>
void MergeRow(const Partials<T>& partials, int64_t head, int64_t row, const HeadResult<T>& result) {
  const MergedRow<T> merged(partials, head, row);
  T* output = result.output.row(row);
  std::fill_n(output, result.output.cols, T{0});
  double entropy = 0;
  for (int64_t range = 0; range < partials.ranges(); ++range) {
    const double share = merged.Share(range);
    if (share == 0) continue;
    const HeadResult<T> part = partials.At(head, range);
    for (int64_t j = 0; j < result.output.cols; ++j) output[j] += static_cast<T>(share) * part.output.row(row)[j];
    entropy += share * (static_cast<double>(part.entropy[row]) - std::log(share));
  }
  if (result.lse != nullptr) result.lse[row] = static_cast<T>(merged.lse());
  if (result.entropy != nullptr) result.entropy[row] = static_cast<T>(entropy);
}

// Computes blocks of a few queries the fastest way there is for so many.
template <typename T>
class BlockRunner {
 public:
  BlockRunner(runtime::BufferPool& pool, const AttentionProblem<T>& problem, const AttentionResult<T>& wanted,
              const runtime::Executor& executor)
      : pool_(pool), problem_(problem), cancellation_(executor.cancellation()) {
    const int workers = executor.max_workers();
    if constexpr (std::is_same_v<T, float>) {
      if (problem.n > kFewQueries && SuitsPanels(problem, wanted)) panels_.emplace(pool, problem, workers);
    }
    if (!panels_) tiles_.emplace(pool, problem.n, problem.m, workers);
  }

  absl::Status Run(const QueryBlock& block, const HeadResult<T>& result, int worker) const {
    if constexpr (std::is_same_v<T, float>) {
      if (panels_) return PanelOrSoftmaxBlock(pool_, problem_, block, result, *panels_, worker, cancellation_);
    }
    return SoftmaxBlock(problem_, block, result, *tiles_, worker);
  }

 private:
  runtime::BufferPool& pool_;
  const AttentionProblem<T>& problem_;
  const runtime::Cancellation& cancellation_;
  std::optional<PanelScratch> panels_;
  std::optional<TileScratch<T>> tiles_;  // where there are no panels
};

}  // namespace

template <typename T>
bool IsDecoding(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted) {
  const bool empty = problem.batch == 0 || problem.heads == 0 || problem.n == 0;
  return !empty && problem.n <= kDecodeQueries && problem.m > kRangeKeys<T> && wanted.weights == nullptr &&
         wanted.scores == nullptr;
}

template <typename T>
absl::Status DecodeAttention(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                             const AttentionResult<T>& result) {
  const Partials<T> partials(pool, problem);
  const BlockRunner<T> blocks(pool, problem, result, executor);
  const int64_t ranges = partials.ranges();
  const int64_t heads = problem.batch * problem.heads;
  const int64_t group = problem.heads / problem.kv_heads;
  const int64_t tiles = heads / group * ranges;
  absl::Status done =
      executor.ForEachTile(tiles, AttentionFlops(problem) / static_cast<double>(tiles), [&](int64_t index, int worker) {
        const int64_t range = index % ranges;
        const int64_t first_key = range * kRangeKeys<T>;
        const int64_t first_head = index / ranges * group;
        for (int64_t head = first_head; head < first_head + group; ++head) {
          const QueryBlock block{head / problem.heads,     head % problem.heads, 0, problem.n, first_key,
                                 first_key + kRangeKeys<T>};
          absl::Status part = blocks.Run(block, partials.At(head, range), worker);
          if (!part.ok()) return part;
        }
        return absl::OkStatus();
      });
  if (!done.ok()) return done;
  const double merge_flops = 2.0 * static_cast<double>(problem.n * ranges) * static_cast<double>(problem.d_value);
  return executor.ForEachTile(heads, merge_flops, [&](int64_t head, int worker) {
    const HeadResult<T> whole = ResultOfHead(problem, result, head / problem.heads, head % problem.heads);
    for (int64_t row = 0; row < problem.n; ++row) MergeRow(partials, head, row, whole);
    return absl::OkStatus();
  });
}

template <typename T>
double PartialResultBytes(const AttentionProblem<T>& problem) {
  return static_cast<double>(problem.batch) * static_cast<double>(problem.heads) *
         static_cast<double>(RangesOf(problem)) * static_cast<double>(problem.n) *
         ((static_cast<double>(problem.d_value) + 2) * static_cast<double>(sizeof(T)) + sizeof(double));
}

template bool IsDecoding(const AttentionProblem<float>&, const AttentionResult<float>&);
template bool IsDecoding(const AttentionProblem<double>&, const AttentionResult<double>&);
template absl::Status DecodeAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                      const AttentionResult<float>&);
template absl::Status DecodeAttention(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                      const AttentionResult<double>&);
template double PartialResultBytes(const AttentionProblem<float>&);
template double PartialResultBytes(const AttentionProblem<double>&);

}  // namespace attend::compute
