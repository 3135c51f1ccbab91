// The values of a tile of keys, weighted, onto the sums of a panel of queries. Include it after hwy/highway.h
// in a file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_VALUES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_VALUES_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_VALUES_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_VALUES_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/attention/panel_task.h"

// After highway.h, which they need.
#include "server/compute/attention/panel_products-inl.h"
#include "server/compute/attention/panel_scores-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

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

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_VALUES_INL_H_
