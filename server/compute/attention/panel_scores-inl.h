// The masked scores of a panel of queries and a tile of keys. Include it after hwy/highway.h
// in a file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SCORES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SCORES_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SCORES_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SCORES_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/attention/panel_task.h"

// After highway.h, which they need.
#include "server/compute/attention/panel_mask-inl.h"
#include "server/compute/attention/panel_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

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

// The masked scores of kKeys keys from `key` on.
template <int kKeys, int kVecs>
HWY_INLINE void ScoresOfKeys(const float* HWY_RESTRICT queries, Rows keys, int64_t d, const PanelMask& mask,
                             int64_t key, float* HWY_RESTRICT scores, PanelScan<kVecs>& scan) {
  const Floats f;
  FloatVector sums[kKeys][kVecs];
  DotProducts(queries, {keys.data + key * keys.stride, keys.stride}, d, sums);
  scores += key * kVecs * kLanes;
  if (mask.LeavesRaw(key, key + kKeys)) {
#pragma GCC unroll 12
    for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 3
      for (int v = 0; v < kVecs; ++v) scan.Add(v, sums[i][v]);
    }
  } else {
    for (int i = 0; i < kKeys; ++i) ApplyMask(mask, key + i, sums[i], scan);
  }
#pragma GCC unroll 12
  for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) hn::Store(sums[i][v], f, scores + (i * kVecs + v) * kLanes);
  }
}

// scores [count, kVecs vectors] = keys [count, d] . queries, masked.
template <int kVecs>
HWY_INLINE void PanelScores(const float* HWY_RESTRICT queries, Rows keys, int64_t count, int64_t d,
                            const PanelMask& mask, float* HWY_RESTRICT scores, PanelScan<kVecs>& scan) {
  constexpr int kKeys = kKeysAtOnce<kVecs>;
  if (count < kKeys) {
    for (int64_t key = 0; key < count; ++key) ScoresOfKeys<1>(queries, keys, d, mask, key, scores, scan);
    return;
  }
  for (int64_t key = 0; key + kKeys <= count; key += kKeys) {
    ScoresOfKeys<kKeys>(queries, keys, d, mask, key, scores, scan);
  }
  // The last few keys together with some of those before them, whose scores come out the same again.
  if (count % kKeys != 0) ScoresOfKeys<kKeys>(queries, keys, d, mask, count - kKeys, scores, scan);
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

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_SCORES_INL_H_
