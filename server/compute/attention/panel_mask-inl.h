// Masks of a panel of queries, and what is learned of its scores on the way. Include it after hwy/highway.h
// in a file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_MASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_MASK_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_MASK_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_MASK_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"

// After highway.h, which they need.
#include "server/compute/attention/panel_products-inl.h"
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// A score that the mask hides, and the maximum of none.
constexpr float kHidden = -std::numeric_limits<float>::infinity();

// What the scores of a panel have shown so far, per query: their maximum, and a sum of score - score that is no number
// once a score was not finite.
template <int kVecs>
struct PanelScan {
  FloatVector max[kVecs];
  FloatVector zeros[kVecs];

  PanelScan() {
    for (int v = 0; v < kVecs; ++v) {
      max[v] = hn::Set(Floats(), kHidden);
      zeros[v] = hn::Zero(Floats());
    }
  }
  HWY_INLINE void Check(int v, FloatVector scores) { zeros[v] = hn::Add(zeros[v], hn::Sub(scores, scores)); }
  HWY_INLINE void Add(int v, FloatVector scores) {
    Check(v, scores);
    max[v] = hn::Max(max[v], scores);
  }
  // A bias may have carried a finite score past the largest number.
  HWY_INLINE bool IsFinite() const {
    const Floats f;
    bool finite = true;
    for (int v = 0; v < kVecs; ++v) {
      finite &= hn::AllTrue(f, hn::Eq(zeros[v], hn::Zero(f))) &
                hn::AllTrue(f, hn::Lt(max[v], hn::Set(f, std::numeric_limits<float>::infinity())));
    }
    return finite;
  }
};

// What becomes of a panel's raw scores, with keys and places counted from the tile's first key: lane i sees the keys
// [i + left, i + right), and every query that counts sees those of [all_begin, all_end).
struct PanelMask {
  int64_t left;
  int64_t right;
  int64_t all_begin;
  int64_t all_end;
  bool only_band;  // the rest is then not looked at
  float scale;
  float softcap;  // 0: none
  float alibi_slope;
  int64_t place;           // of lane 0
  const uint8_t* allowed;  // of each key, for all queries; null: all
  int64_t allowed_stride;
  const float* bias;  // likewise
  int64_t bias_stride;

  HWY_INLINE bool LeavesRaw(int64_t begin, int64_t end) const {
    return only_band && begin >= all_begin && end <= all_end;
  }
};

// The lanes of vector v that see the key.
HWY_INLINE hn::Mask<Floats> VisibleLanes(const PanelMask& mask, int64_t key, int v) {
  const Floats f;
  const auto lane = [](int64_t i) {
    return hn::Set(Floats(), static_cast<float>(std::clamp<int64_t>(i, -1, kPanelVectors * kLanes)));
  };
  const bool allowed = mask.allowed == nullptr || mask.allowed[key * mask.allowed_stride] != 0;
  const auto lanes = hn::Iota(f, static_cast<float>(v * kLanes));
  const auto after = allowed ? lane(key - mask.right) : lane(kPanelVectors * kLanes);
  return hn::And(hn::Gt(lanes, after), hn::Le(lanes, lane(key - mask.left)));
}

// Raw scores of one key, scaled, capped and less their distance.
HWY_INLINE FloatVector CapAndSubtractAlibi(const PanelMask& mask, int64_t key, int v, FloatVector scores) {
  const Floats f;
  scores = hn::Mul(scores, hn::Set(f, mask.scale));
  if (mask.softcap != 0) {
    scores = hn::Mul(hn::Set(f, mask.softcap), TanhAny(f, hn::Mul(scores, hn::Set(f, 1 / mask.softcap))));
  }
  if (mask.alibi_slope == 0) return scores;
  const auto distance = hn::Abs(hn::Iota(f, static_cast<float>(mask.place - key + v * kLanes)));
  return hn::NegMulAdd(hn::Set(f, mask.alibi_slope), distance, scores);
}

// Makes raw scores of one key what the mask makes of them, -infinity where it hides them. Hidden ones may be anything.
template <int kVecs>
HWY_INLINE void ApplyMask(const PanelMask& mask, int64_t key, FloatVector (&scores)[kVecs], PanelScan<kVecs>& scan) {
  const Floats f;
  const auto hidden = hn::Set(f, kHidden);
  for (int v = 0; v < kVecs; ++v) {
    const auto visible = VisibleLanes(mask, key, v);
    auto masked = hn::IfThenElseZero(visible, scores[v]);
    scan.Check(v, masked);
    if (!mask.only_band) {
      masked = hn::IfThenElseZero(visible, CapAndSubtractAlibi(mask, key, v, masked));
      scan.Check(v, masked);
      if (mask.bias != nullptr) masked = hn::Add(masked, hn::Set(f, mask.bias[key * mask.bias_stride]));
    }
    scores[v] = hn::IfThenElse(visible, masked, hidden);
    scan.max[v] = hn::Max(scan.max[v], scores[v]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_MASK_INL_H_
