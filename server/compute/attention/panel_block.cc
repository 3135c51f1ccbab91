#include "server/compute/attention/panel_block.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/panel_block.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/attention/panel_kernels-inl.h"

#ifndef ATTEND_PANEL_TASK
#define ATTEND_PANEL_TASK
namespace attend::compute {

// One block of queries of one head.
struct PanelTask {
  Matrix<const float> queries;
  Matrix<const float> keys;
  Matrix<const float> values;
  TileMask<float> mask;  // of the block's queries and all keys; allowed and bias are the same for all queries
  bool only_band;        // is all of the mask
  int64_t first_key;     // keys [first_key, end_key) count
  int64_t end_key;
  float query_factor;  // scores are mask_scale * (query_factor * query) . key, where query_factor is a power of two
  float mask_scale;    // in (0, 1]; left to `scale` where the mask is but a band
  float scale;         // of what the mask leaves, in (0, 1]
  HeadResult<float> result;
  int64_t first_row;  // of the result
  PanelMemory memory;
};

}  // namespace attend::compute
#endif  // ATTEND_PANEL_TASK

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// kVecs vectors of queries, from row `first` of the block on; `count` of them are there.
template <int kVecs>
struct Panel {
  static constexpr int kQueries = kVecs * kLanes;
  int64_t first;
  int64_t count;

  int64_t last() const { return first + count - 1; }
  const float* Queries(const PanelTask& task) const { return task.memory.queries + first * task.queries.cols; }
};

// [kLanes, 4 rows] of four rows, transposed.
HWY_INLINE void TransposeFour(const PanelTask& task, int64_t row, int64_t k, float* to, int64_t stride) {
  const Floats f;
  const auto factor = hn::Set(f, task.query_factor);
  FloatVector rows[4];
  for (int i = 0; i < 4; ++i) rows[i] = hn::Mul(factor, hn::LoadU(f, task.queries.row(row + i) + k));
  HWY_ALIGN float columns[4 * kLanes];
  hn::StoreInterleaved4(rows[0], rows[1], rows[2], rows[3], f, columns);
  const hn::CappedTag<float, 4> four;
  for (int j = 0; j < kLanes; ++j) hn::Store(hn::Load(four, columns + 4 * j), four, to + j * stride);
}

template <int kVecs>
void PackQueries(const PanelTask& task, const Panel<kVecs>& panel) {
  constexpr int64_t kStride = Panel<kVecs>::kQueries;
  const int64_t d = task.queries.cols;
  float* packed = task.memory.queries + panel.first * d;
  const int64_t fours = panel.count / 4 * 4;
  const int64_t whole = kLanes < 4 ? 0 : d / kLanes * kLanes;
  for (int64_t r = 0; r < fours; r += 4) {
    for (int64_t k = 0; k < whole; k += kLanes) {
      TransposeFour(task, panel.first + r, k, packed + k * kStride + r, kStride);
    }
  }
  for (int64_t r = 0; r < kStride; ++r) {
    for (int64_t k = r < fours ? whole : 0; k < d; ++k) {
      packed[k * kStride + r] = r < panel.count ? task.query_factor * task.queries.row(panel.first + r)[k] : 0;
    }
  }
}

struct KeyRange {
  int64_t begin;
  int64_t end;

  int64_t count() const { return end - begin; }
};

// The keys of `tile` that some of the queries [first, last] see.
HWY_INLINE KeyRange SeenBySome(const KeyBand& band, int64_t first, int64_t last, const KeyRange& tile) {
  const int64_t begin = std::max(tile.begin, band.begin(first));
  return {begin, std::max(begin, std::min(tile.end, band.end(last)))};
}

// The mask of a panel and of the keys of `some`.
template <int kVecs>
HWY_INLINE PanelMask MaskOfPanel(const PanelTask& task, const Panel<kVecs>& panel, const KeyRange& some) {
  const TileMask<float>& mask = task.mask;
  const int64_t from = panel.first - some.begin;
  return {mask.band.left + from,
          mask.band.right + from,
          mask.band.begin(panel.last()) - some.begin,
          mask.band.end(panel.first) - some.begin,
          task.only_band,
          task.mask_scale,
          mask.softcap,
          mask.alibi_slope,
          mask.band.place + from,
          mask.allowed == nullptr ? nullptr : mask.allowed + some.begin * mask.allowed_stride,
          mask.allowed_stride,
          mask.bias == nullptr ? nullptr : mask.bias + some.begin * mask.bias_stride,
          mask.bias_stride};
}

template <int kVecs>
HWY_INLINE PanelScan<kVecs> Scores(const PanelTask& task, const Panel<kVecs>& panel, const KeyRange& some) {
  PanelScan<kVecs> scan;
  PanelScores<kVecs>(panel.Queries(task), {task.keys.row(some.begin), task.keys.stride}, some.count(),
                     task.queries.cols, MaskOfPanel(task, panel, some), task.memory.scores, scan);
  return scan;
}

// The panel's scores become exp(score - shift); adds to the sums of them, and of them times score - shift.
template <bool kWeighted, int kVecs>
HWY_INLINE void Exponentials(const ScaledExp& exp, int64_t count, const FloatVector (&shift)[kVecs], float* scores,
                             FloatVector (&total)[kVecs], FloatVector (&weighted)[kVecs]) {
  const Floats f;
  for (int64_t c = 0; c < count; ++c, scores += kVecs * kLanes) {
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) {
      const auto x = exp.Clamp(hn::Sub(hn::Load(f, scores + v * kLanes), shift[v]));
      const auto e = exp(x);
      hn::Store(e, f, scores + v * kLanes);
      total[v] = hn::Add(total[v], e);
      if (kWeighted) weighted[v] = hn::MulAdd(e, x, weighted[v]);
    }
  }
}

// The sums of values so far, for queries whose maximum has risen.
template <int kVecs>
void Rescale(const PanelTask& task, const Panel<kVecs>& panel, const float* correction) {
  const Floats f;
  for (int64_t r = 0; r < panel.count; ++r) {
    if (correction[r] == 1) continue;
    const auto factor = hn::Set(f, correction[r]);
    float* sums = task.memory.sums + (panel.first + r) * task.memory.sums_stride;
    for (int64_t j = 0; j < task.values.cols; j += kLanes) {
      hn::Store(hn::Mul(factor, hn::Load(f, sums + j)), f, sums + j);
    }
  }
}

// Scores to weights, and the queries' states on. `first`: there are no states yet.
template <bool kWeighted, int kVecs>
HWY_INLINE void Softmax(const PanelTask& task, const Panel<kVecs>& panel, int64_t keys, bool first,
                        const PanelScan<kVecs>& scan) {
  const Floats f;
  const PanelMemory& memory = task.memory;
  const ScaledExp exp(task.scale);
  FloatVector shift[kVecs], total[kVecs], weighted[kVecs];
  HWY_ALIGN float correction[Panel<kVecs>::kQueries];
  bool rises = false;
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = panel.first + v * kLanes;
    total[v] = weighted[v] = hn::Zero(f);
    const auto before = first ? hn::Set(f, kMinusInfinity) : hn::Load(f, memory.max + at);
    const auto now = hn::Max(before, scan.max[v]);
    hn::Store(now, f, memory.max + at);
    // A query that has seen no key yet has -infinity throughout.
    shift[v] = hn::IfThenZeroElse(hn::Eq(now, hn::Set(f, kMinusInfinity)), now);
    if (first) continue;
    const auto moved = exp.Clamp(hn::Sub(before, shift[v]));
    const auto factor = exp(moved);
    hn::Store(factor, f, correction + v * kLanes);
    rises |= !hn::AllTrue(f, hn::Eq(factor, hn::Set(f, 1.0f)));
    const auto sum = hn::Mul(factor, hn::Load(f, memory.total + at));
    if (kWeighted) {
      weighted[v] = hn::MulAdd(factor, hn::Load(f, memory.weighted + at), hn::Mul(sum, moved));
    }
    total[v] = sum;
  }
  if (rises) Rescale(task, panel, correction);
  FloatVector tile_total[kVecs];
  for (int v = 0; v < kVecs; ++v) tile_total[v] = hn::Zero(f);
  Exponentials<kWeighted>(exp, keys, shift, memory.scores, tile_total, weighted);
  for (int v = 0; v < kVecs; ++v) {
    const int64_t at = panel.first + v * kLanes;
    hn::Store(hn::Add(total[v], tile_total[v]), f, memory.total + at);
    if (kWeighted) hn::Store(weighted[v], f, memory.weighted + at);
  }
}

// sums of the panel's rows [row, row + kRows) += weights of `keys` * values.
template <int kRows, int kVecs>
HWY_INLINE void AddValuesToRows(const PanelTask& task, const Panel<kVecs>& panel, int64_t row, const KeyRange& some,
                                bool first) {
  const int64_t begin_query = panel.first + row;
  const KeyRange keys = SeenBySome(task.mask.band, begin_query, std::min(begin_query + kRows - 1, panel.last()), some);
  if (keys.count() == 0 && !first) return;
  constexpr int64_t kStride = Panel<kVecs>::kQueries;
  const PanelMemory& memory = task.memory;
  const float* weights = memory.scores + (keys.begin - some.begin) * kStride + row;
  float* sums = memory.sums + begin_query * memory.sums_stride;
  const int64_t columns = task.values.cols;
  int64_t c = 0;
  const auto values = [&] { return Rows{task.values.row(keys.begin) + c, task.values.stride}; };
  for (; c + kColumnVectors * kLanes <= columns; c += kColumnVectors * kLanes) {
    AddProducts<kRows, kColumnVectors, true>(weights, kStride, values(), keys.count(), columns - c, first, sums + c,
                                             memory.sums_stride);
  }
  for (; c + kLanes <= columns; c += kLanes) {
    AddProducts<kRows, 1, true>(weights, kStride, values(), keys.count(), columns - c, first, sums + c,
                                memory.sums_stride);
  }
  if (c < columns) {
    AddProducts<kRows, 1, false>(weights, kStride, values(), keys.count(), columns - c, first, sums + c,
                                 memory.sums_stride);
  }
}

template <int kVecs>
HWY_INLINE void AddPanelValues(const PanelTask& task, const Panel<kVecs>& panel, const KeyRange& some, bool first) {
  int64_t row = 0;
  for (; row + kRowsAtOnce <= panel.kQueries; row += kRowsAtOnce) {
    if (row < panel.count) AddValuesToRows<kRowsAtOnce>(task, panel, row, some, first);
  }
  constexpr int kTwoThirds = kRowsAtOnce / 3 * 2;
  for (; row + kTwoThirds <= panel.kQueries; row += kTwoThirds) {
    if (row < panel.count) AddValuesToRows<kTwoThirds>(task, panel, row, some, first);
  }
  constexpr int kThird = kRowsAtOnce / 3;
  for (; row < panel.kQueries; row += kThird) {
    if (row < panel.count) AddValuesToRows<kThird>(task, panel, row, some, first);
  }
}

// One panel and one tile of keys. Returns whether all visible scores are finite.
template <bool kWeighted, int kVecs>
bool RunTile(const PanelTask& task, const Panel<kVecs>& panel, const KeyRange& tile) {
  const KeyRange some = SeenBySome(task.mask.band, panel.first, panel.last(), tile);
  if (some.count() == 0) return true;
  const bool first = some.begin == std::max(task.first_key, task.mask.band.begin(panel.first));
  const PanelScan<kVecs> scan = Scores(task, panel, some);
  Softmax<kWeighted>(task, panel, some.count(), first, scan);
  AddPanelValues(task, panel, some, first);
  return scan.IsFinite();
}

// Vectors of the block's panels: a narrower panel computes less of what the edges of a band hide.
HWY_INLINE int PanelWidth(const KeyBand& band, int64_t queries) {
  const bool moves = band.begin(queries - 1) != band.begin(0) || band.end(queries - 1) != band.end(0);
  return moves ? kPanelVectors - 1 : kPanelVectors;
}

// Calls with_panel(Panel<kVecs>) for the panels of a block until one returns false: `width` vectors each, the last no
// wider than its queries need.
template <class Function>
HWY_INLINE bool ForEachPanel(int64_t queries, int width, const Function& with_panel) {
  bool all = true;
  for (int64_t first = 0; first < queries && all; first += width * kLanes) {
    const int64_t count = std::min<int64_t>(queries - first, width * kLanes);
    if (count > 2 * kLanes) {
      all = with_panel(Panel<3>{first, count});
    } else if (count > kLanes) {
      all = with_panel(Panel<2>{first, count});
    } else {
      all = with_panel(Panel<1>{first, count});
    }
  }
  return all;
}

// As few tiles of [begin, end) as can be, of nearly the same width.
template <class Function>
HWY_INLINE bool ForEachTile(const KeyRange& keys, const Function& with_tile) {
  const int64_t tiles = (keys.count() + kPanelTileKeys - 1) / kPanelTileKeys;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const KeyRange part{keys.begin + keys.count() * tile / tiles, keys.begin + keys.count() * (tile + 1) / tiles};
    if (!with_tile(part)) return false;
  }
  return true;
}

// Rows without keys have neither sums nor states.
HWY_INLINE bool FinishRow(const PanelTask& task, int64_t row) {
  const Floats f;
  const PanelMemory& memory = task.memory;
  const KeyRange keys = SeenBySome(task.mask.band, row, row, {task.first_key, task.end_key});
  const bool sees_a_key = keys.count() > 0 && memory.max[row] > kMinusInfinity;
  const float total = sees_a_key ? memory.total[row] : 1;
  const float log_sum = std::log(total);
  const int64_t to = task.first_row + row;
  if (task.result.lse != nullptr) {
    task.result.lse[to] = sees_a_key ? memory.max[row] * task.scale + log_sum : kMinusInfinity;
  }
  if (task.result.entropy != nullptr) {
    task.result.entropy[to] = sees_a_key ? log_sum - task.scale * memory.weighted[row] / total : 0;
  }
  const int64_t columns = task.result.output.cols;
  if (columns == 0) return true;
  float* output = task.result.output.row(to);
  if (!sees_a_key) {
    std::fill_n(output, columns, 0.0f);
    return true;
  }
  const auto factor = hn::Set(f, 1 / total);
  const float* sums = memory.sums + row * memory.sums_stride;
  auto zeros = hn::Zero(f);
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) {
    const auto mean = hn::Mul(factor, hn::Load(f, sums + j));
    zeros = hn::Add(zeros, hn::Sub(mean, mean));
    hn::StoreU(mean, f, output + j);
  }
  bool finite = hn::AllTrue(f, hn::Eq(zeros, hn::Zero(f)));
  for (; j < columns; ++j) {
    output[j] = sums[j] / total;
    finite &= std::isfinite(output[j]);
  }
  return finite;
}

// Returns whether all visible scores are finite.
template <bool kWeighted>
bool RunTiles(const PanelTask& task) {
  const int64_t queries = task.queries.rows;
  const int width = PanelWidth(task.mask.band, queries);
  const KeyRange block_keys{task.first_key, task.end_key};
  const KeyRange keys = SeenBySome(task.mask.band, 0, queries - 1, block_keys);
  if (keys.count() <= kPanelResidentKeys) {
    return ForEachPanel(queries, width, [&](const auto& panel) {
      PackQueries(task, panel);
      return ForEachTile(SeenBySome(task.mask.band, panel.first, panel.last(), block_keys),
                         [&](const KeyRange& tile) { return RunTile<kWeighted>(task, panel, tile); });
    });
  }
  ForEachPanel(queries, width, [&](const auto& panel) {
    PackQueries(task, panel);
    return true;
  });
  return ForEachTile(keys, [&](const KeyRange& tile) {
    return ForEachPanel(queries, width, [&](const auto& panel) { return RunTile<kWeighted>(task, panel, tile); });
  });
}

template <bool kWeighted>
bool RunBlock(const PanelTask& task) {
  if (!RunTiles<kWeighted>(task)) return false;
  bool finite = true;
  for (int64_t row = 0; row < task.queries.rows; ++row) finite &= FinishRow(task, row);
  return finite;
}

bool RunPanelTask(const PanelTask& task) {
  return task.result.entropy == nullptr ? RunBlock<false>(task) : RunBlock<true>(task);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {
namespace {

HWY_EXPORT(RunPanelTask);

constexpr int64_t kCacheLine = 16;        // floats
constexpr int64_t kWidestPanel = 48;      // queries, with the widest vectors
constexpr double kSmallestScale = 1e-30;  // what exp can be scaled by
constexpr double kLargestScale = 1e30;    // whose power of two is a float

int64_t WholeLines(int64_t elements) { return (elements + kCacheLine - 1) / kCacheLine * kCacheLine; }

int64_t BlockQueries(const AttentionProblem<float>& problem) {
  return WholeLines(std::min(problem.n, kPanelBlockQueries));
}

// A scale as a power of two, by which queries can be multiplied without rounding, and a factor of at most 1.
struct SplitScale {
  explicit SplitScale(double whole) {
    int exponent = 0;
    if (std::abs(whole) > 1) std::frexp(whole, &exponent);
    const double power = std::ldexp(whole < 0 ? -1 : 1, exponent);
    query_factor = static_cast<float>(power);
    rest = static_cast<float>(whole / power);
  }
  float query_factor;
  float rest;
};

// Whether the mask's tensors, if any, say the same of all queries.
bool SameForAllQueries(const AttentionMask<float>& mask) {
  return (!mask.allowed || mask.allowed.strides[2] == 0) && (!mask.bias || mask.bias.strides[2] == 0);
}

}  // namespace

bool SuitsPanels(const AttentionProblem<float>& problem, const AttentionResult<float>& wanted) {
  const double scale = std::abs(problem.scale);
  return std::holds_alternative<DotProductScore>(problem.score) && SameForAllQueries(problem.mask) &&
         wanted.weights == nullptr && wanted.scores == nullptr && !wanted.backward_follows && scale >= kSmallestScale &&
         scale <= kLargestScale;
}

size_t PanelScratch::Elements(const AttentionProblem<float>& problem) {
  const int64_t queries = BlockQueries(problem);
  return static_cast<size_t>(queries * (problem.d + WholeLines(problem.d_value) + 3) + kPanelTileKeys * kWidestPanel);
}

PanelMemory PanelScratch::Of(int worker) const {
  const int64_t queries = BlockQueries(problem_);
  const int64_t stride = WholeLines(problem_.d_value);
  PanelMemory memory;
  memory.queries = buffer_.as<float>() + static_cast<size_t>(worker) * Elements(problem_);
  memory.scores = memory.queries + queries * problem_.d;
  memory.sums = memory.scores + kPanelTileKeys * kWidestPanel;
  memory.sums_stride = stride;
  memory.max = memory.sums + queries * stride;
  memory.total = memory.max + queries;
  memory.weighted = memory.total + queries;
  return memory;
}

bool PanelBlock(const AttentionProblem<float>& problem, const QueryBlock& block, const HeadResult<float>& result,
                const PanelScratch& scratch, int worker) {
  const int64_t kv_head = block.head / (problem.heads / problem.kv_heads);
  const auto rows = [](const HeadsView<const float>& view, int64_t batch, int64_t head, int64_t first, int64_t count,
                       int64_t cols) {
    return Matrix<const float>(view.at(batch, head, first), count, cols, view.row_stride);
  };
  const SplitScale scale(problem.scale);
  const KeyBand band = VisibleBand(problem, block.batch);
  TileMask<float> mask = MaskOfTile(problem.mask, band, block.batch, block.head, block.first, 0, problem.m);
  mask.softcap = SoftcapOf(problem);
  const bool only_band = IsOnlyBand(mask);
  const PanelTask task{rows(problem.query, block.batch, block.head, block.first, block.count, problem.d),
                       rows(problem.key, block.batch, kv_head, 0, problem.m, problem.d),
                       rows(problem.value, block.batch, kv_head, 0, problem.m, problem.d_value),
                       mask,
                       only_band,
                       block.first_key,
                       block.end_key,
                       scale.query_factor,
                       only_band ? 1 : scale.rest,
                       only_band ? scale.rest : 1,
                       result,
                       block.first,
                       scratch.Of(worker)};
  return HWY_DYNAMIC_DISPATCH(RunPanelTask)(task);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
