// The two products of a panel of queries, float32. A panel holds up to kPanelVectors vectors of queries, one query per
// lane: keys are then read where they lie, the maximum, exponential and sum of a query are plain vector operations, and
// nothing but the queries is ever transposed. The sums of a product stay in registers from its first term to its last.
// Include it after hwy/highway.h
// in a file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_PRODUCTS_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_PRODUCTS_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_PRODUCTS_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

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

// The first `count` of a vector's columns, no more read than there are.
HWY_INLINE FloatVector LoadColumns(const float* from, int64_t count) {
  const Floats f;
  if (count >= kLanes) return hn::LoadU(f, from);
#if HWY_TARGET > HWY_AVX2
  // Without masks in hardware Highway's MaskedLoad reads whole aligned vectors.
  HWY_ALIGN float columns[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) columns[i] = from[i];
  return hn::Load(f, columns);
#else
  return hn::MaskedLoad(hn::FirstN(f, static_cast<size_t>(count)), f, from);
#endif
}

// sums [kRows, kVecs vectors] += weights^T values, where weights [count, rows] lie `weight_stride` apart; with `first`
// they are what is added. `columns` of the values are there; kWhole: at least kVecs vectors of them. The products are
// summed from zero: a chain of additions no longer than a tile is wide keeps its roundings small.
// Not inlined, so that all registers are its own.
template <int kRows, int kVecs, bool kWhole>
HWY_NOINLINE void AddProducts(const float* HWY_RESTRICT weights, int64_t weight_stride, Rows values, int64_t count,
                              int64_t columns, bool first, float* HWY_RESTRICT sums, int64_t sums_stride) {
  const Floats f;
  FloatVector acc[kRows][kVecs];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) acc[i][v] = hn::Zero(f);
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
    for (int v = 0; v < kVecs; ++v) {
      float* sum = sums + i * sums_stride + v * kLanes;
      hn::Store(first ? acc[i][v] : hn::Add(hn::Load(f, sum), acc[i][v]), f, sum);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_PRODUCTS_INL_H_
