#include "server/compute/attention/panel_block.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/attention/panel_task.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/panel_block.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which they need.
#include "server/compute/attention/panel_products-inl.h"
#include "server/compute/attention/panel_scores-inl.h"
#include "server/compute/attention/panel_softmax-inl.h"
#include "server/compute/attention/panel_values-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// One panel and one tile of keys. Returns whether all visible scores are finite and the call is still wanted.
template <bool kWeighted, int kVecs>
bool RunTile(const PanelTask& task, const Panel<kVecs>& panel, const KeyRange& tile) {
  const KeyRange some = SeenBySome(task.mask.band, panel.first, panel.last(), tile);
  if (some.count() == 0) return true;
  if (!task.cancellation.Check().ok()) return false;
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
HWY_INLINE bool SeesKey(const PanelTask& task, int64_t row) {
  const KeyRange keys = SeenBySome(task.mask.band, row, row, {task.first_key, task.end_key});
  return keys.count() > 0 && task.memory.max[row] > kHidden;
}

HWY_INLINE void FinishStates(const PanelTask& task, int64_t row, bool sees_key) {
  const PanelMemory& memory = task.memory;
  const HeadResult<float>& result = task.result;
  const int64_t to = task.first_row + row;
  const float log_total = sees_key ? std::log(memory.total[row]) : 0;
  if (result.lse != nullptr) result.lse[to] = sees_key ? memory.max[row] * task.scale + log_total : kHidden;
  if (result.max != nullptr) result.max[to] = sees_key ? double{memory.max[row]} * double{task.scale} : kHidden;
  if (result.total != nullptr) result.total[to] = sees_key ? memory.total[row] : 0;
  if (result.entropy == nullptr) return;
  result.entropy[to] = sees_key ? log_total - task.scale * memory.weighted[row] / memory.total[row] : 0;
}

// output = factor * sums. Returns whether all are finite.
HWY_INLINE bool ScaleInto(const float* sums, float factor, int64_t columns, float* output) {
  const Floats f;
  const auto factors = hn::Set(f, factor);
  auto zeros = hn::Zero(f);
  int64_t j = 0;
  for (; j + kLanes <= columns; j += kLanes) {
    const auto scaled = hn::Mul(factors, hn::Load(f, sums + j));
    zeros = hn::Add(zeros, hn::Sub(scaled, scaled));
    hn::StoreU(scaled, f, output + j);
  }
  bool finite = hn::AllTrue(f, hn::Eq(zeros, hn::Zero(f)));
  for (; j < columns; ++j) {
    output[j] = factor * sums[j];
    finite &= std::isfinite(output[j]);
  }
  return finite;
}

// Returns whether the output is finite.
HWY_INLINE bool FinishRow(const PanelTask& task, int64_t row) {
  const bool sees_key = SeesKey(task, row);
  FinishStates(task, row, sees_key);
  const int64_t columns = task.result.output.cols;
  if (columns == 0) return true;
  float* output = task.result.output.row(task.first_row + row);
  if (!sees_key) {
    std::fill_n(output, columns, 0.0f);
    return true;
  }
  return ScaleInto(task.memory.sums + row * task.memory.sums_stride, 1 / task.memory.total[row], columns, output);
}

// Returns whether all tiles ran and were finite.
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
                const PanelScratch& scratch, int worker, const runtime::Cancellation& cancellation) {
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
                       scratch.Of(worker),
                       cancellation};
  return HWY_DYNAMIC_DISPATCH(RunPanelTask)(task);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
