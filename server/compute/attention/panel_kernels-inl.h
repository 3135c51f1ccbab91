// The kernels of a panel of queries, float32: scores of keys, exponentials, weights times values. A panel holds up to
// kPanelVectors vectors of queries, one query per lane: keys are then read where they lie, the maximum, exponential and
// sum of a query are plain vector operations, and nothing but the queries is ever transposed. Include it after
// hwy/highway.h in a file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_KERNELS_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_KERNELS_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_KERNELS_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <limits>

#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, 16>;
using FloatVector = hn::Vec<Floats>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(Floats()));

// Accumulators that fit into the registers beside what feeds them.
constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3;
constexpr int kPanelVectors = 3;
template <int kVecs>
constexpr int kKeysAtOnce = kManyRegisters ? (kVecs == 2 ? 12 : 8)
                                           : (kVecs == 1   ? 8
                                              : kVecs == 2 ? 6
                                                           : 4);
constexpr int kRowsAtOnce = kLanes < 4 ? 3 : kManyRegisters ? 12 : 6;  // with a third of it divides any panel
constexpr int kColumnVectors = 2;

// Rows of a matrix in memory.
struct Rows {
  const float* data;
  int64_t stride;
};

// sums[i][v] = keys[i] . queries, for the panel's queries [d, kVecs vectors].
template <int kKeys, int kVecs>
HWY_INLINE void DotProducts(const float* HWY_RESTRICT queries, Rows keys, int64_t d,
                            FloatVector (&sums)[kKeys][kVecs]) {
  const Floats f;
#pragma GCC unroll 12
  for (int i = 0; i < kKeys; ++i) {
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) sums[i][v] = hn::Zero(f);
  }
  const float* HWY_RESTRICT key = keys.data;
  for (int64_t k = 0; k < d; ++k, ++key, queries += kVecs * kLanes) {
    FloatVector q[kVecs];
#pragma GCC unroll 3
    for (int v = 0; v < kVecs; ++v) q[v] = hn::Load(f, queries + v * kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < kKeys; ++i) {
      const FloatVector entry = hn::Set(f, key[i * keys.stride]);
#pragma GCC unroll 3
      for (int v = 0; v < kVecs; ++v) sums[i][v] = hn::MulAdd(entry, q[v], sums[i][v]);
    }
  }
}

// What the scores of a panel have shown so far, per query: their maximum, and a sum of score - score that is no number
// once a score was not finite.
template <int kVecs>
struct PanelScan {
  FloatVector max[kVecs];
  FloatVector zeros[kVecs];

  PanelScan() {
    for (int v = 0; v < kVecs; ++v) {
      max[v] = hn::Set(Floats(), -std::numeric_limits<float>::infinity());
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
  const auto hidden = hn::Set(f, -std::numeric_limits<float>::infinity());
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

// exp(scale * x) for x <= 0, 0 where that is no normal number. 2^(scale log2(e) x) with the factor in two parts; the
// polynomial is ExpReduced's with the powers of ln 2 in its coefficients.
struct ScaledExp {
  FloatVector high, low, lowest;

  // REQUIRES: 1e-30 <= scale <= 1.
  explicit ScaledExp(float scale) {
    const Floats f;
    constexpr double kLog2E = 1.4426950408889634;
    const double factor = static_cast<double>(scale) * kLog2E;
    const auto rounded = static_cast<float>(factor);
    high = hn::Set(f, rounded);
    low = hn::Set(f, static_cast<float>(factor - static_cast<double>(rounded)));
    lowest = hn::Set(f, static_cast<float>(-127 / factor));
  }

  HWY_INLINE FloatVector Clamp(FloatVector x) const { return hn::Max(x, lowest); }

  // REQUIRES: x is clamped.
  HWY_INLINE FloatVector operator()(FloatVector x) const {
    const Floats f;
    const hn::RebindToUnsigned<Floats> bits;
    // The biased exponent of 2^k ends up in the low bits of `shifted`.
    const FloatVector round = hn::Set(f, ExpConstants<float>::kRound + ExpConstants<float>::kExponentBias);
    const FloatVector shifted = hn::MulAdd(x, high, round);
    const FloatVector k = hn::Sub(shifted, round);
    const FloatVector r = hn::MulAdd(x, low, hn::MulSub(x, high, k));
    FloatVector p = hn::MulAdd(hn::Set(f, 1.3300226e-3f), r, hn::Set(f, 9.6697585e-3f));
    p = hn::MulAdd(p, r, hn::Set(f, 5.5505605e-2f));
    p = hn::MulAdd(p, r, hn::Set(f, 0.24022281f));
    p = hn::MulAdd(p, r, hn::Set(f, 0.69314718f));
    p = hn::MulAdd(p, r, hn::Set(f, 1.0f));
    const FloatVector power =
        hn::BitCast(f, hn::ShiftLeft<ExpConstants<float>::kMantissaBits>(hn::BitCast(bits, shifted)));
    return hn::Mul(p, power);
  }
};

// Columns [0, count) of a vector; all of them where count >= kLanes.
HWY_INLINE FloatVector LoadColumns(const float* from, int64_t count) {
  const Floats f;
  if (count >= kLanes) return hn::LoadU(f, from);
  return hn::MaskedLoad(hn::FirstN(f, static_cast<size_t>(count)), f, from);
}

// sums [kRows, kVecs vectors] += weights^T values, where weights [count, rows] lie `weight_stride` apart.
// `columns` of the values are there; kWhole: at least kVecs vectors of them.
template <int kRows, int kVecs, bool kWhole>
HWY_INLINE void AddProducts(const float* HWY_RESTRICT weights, int64_t weight_stride, Rows values, int64_t count,
                            int64_t columns, bool first, float* HWY_RESTRICT sums, int64_t sums_stride) {
  const Floats f;
  FloatVector acc[kRows][kVecs];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) acc[i][v] = first ? hn::Zero(f) : hn::Load(f, sums + i * sums_stride + v * kLanes);
  }
  const float* HWY_RESTRICT value = values.data;
  for (int64_t k = 0; k < count; ++k, weights += weight_stride, value += values.stride) {
    FloatVector b[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      b[v] = kWhole ? hn::LoadU(f, value + v * kLanes) : LoadColumns(value + v * kLanes, columns - v * kLanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const FloatVector weight = hn::Set(f, weights[i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) acc[i][v] = hn::MulAdd(weight, b[v], acc[i][v]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) hn::Store(acc[i][v], f, sums + i * sums_stride + v * kLanes);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_KERNELS_INL_H_
