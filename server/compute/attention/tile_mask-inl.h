// A row of a TileMask, a vector at a time, for the sweeps over tiles of scores: include it after hwy/highway.h in a
// file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_ATTENTION_TILE_MASK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_ATTENTION_TILE_MASK_INL_H_
#undef ATTEND_SERVER_COMPUTE_ATTENTION_TILE_MASK_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_ATTENTION_TILE_MASK_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/softmax_tile.h"

// After highway.h, which it needs.
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
using Tag = hn::CappedTag<T, kTilePadding>;
template <typename T>
using Vector = hn::Vec<Tag<T>>;

// One row of a TileMask.
template <typename T>
struct RowMask {
  int64_t begin;
  int64_t end;
  int64_t place;
  T softcap;
  T alibi_slope;
  const uint8_t* allowed;
  int64_t allowed_stride;
  const T* bias;
  int64_t bias_stride;
};

template <typename T>
HWY_INLINE RowMask<T> MaskOfRow(const TileMask<T>& tile, int64_t row) {
  return {tile.band.begin(row),  tile.band.end(row),
          tile.band.place + row, tile.softcap,
          tile.alibi_slope,      tile.allowed == nullptr ? nullptr : tile.allowed + row * tile.allowed_row_stride,
          tile.allowed_stride,   tile.bias == nullptr ? nullptr : tile.bias + row * tile.bias_row_stride,
          tile.bias_stride};
}

// The same row seen from column j on.
template <typename T>
HWY_INLINE RowMask<T> FromColumn(RowMask<T> mask, int64_t j) {
  mask.begin -= j;
  mask.end -= j;
  mask.place -= j;
  if (mask.allowed != nullptr) mask.allowed += j * mask.allowed_stride;
  if (mask.bias != nullptr) mask.bias += j * mask.bias_stride;
  return mask;
}

// `count` elements, `stride` apart, as the first lanes of a vector.
template <typename T, typename From>
HWY_INLINE Vector<T> LoadStrided(const From* from, int64_t stride, int64_t count) {
  const Tag<T> d;
  HWY_ALIGN T lanes[kTilePadding] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = static_cast<T>(from[i * stride]);
  return hn::Load(d, lanes);
}

template <typename T>
HWY_INLINE Vector<T> LoadBias(const T* bias, int64_t stride, int64_t count) {
  const Tag<T> d;
  if (stride == 1 && count == static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, bias);
  return LoadStrided<T>(bias, stride, count);
}

template <typename T>
HWY_INLINE Vector<T> LoadAllowed(const uint8_t* allowed, int64_t stride, int64_t count) {
  const Tag<T> d;
  if (stride != 1 || count != static_cast<int64_t>(hn::Lanes(d))) return LoadStrided<T>(allowed, stride, count);
  const hn::Rebind<int32_t, Tag<T>> d32;
  const auto wide = hn::PromoteTo(d32, hn::LoadU(hn::Rebind<uint8_t, Tag<T>>(), allowed));
  if constexpr (sizeof(T) == sizeof(int32_t)) {
    return hn::ConvertTo(d, wide);
  } else {
    return hn::PromoteTo(d, wide);
  }
}

// Which of the lanes from column j on are visible; none at or past `cols`.
template <typename T>
HWY_INLINE hn::Mask<Tag<T>> VisibleLanes(const RowMask<T>& mask, int64_t j, int64_t cols) {
  const Tag<T> d;
  const int64_t count = std::min(static_cast<int64_t>(hn::Lanes(d)), cols - j);
  const auto column = hn::Iota(d, static_cast<T>(j));
  const auto begin = hn::Set(d, static_cast<T>(mask.begin));
  const auto end = hn::Set(d, static_cast<T>(std::min(mask.end, cols)));
  auto visible = hn::And(hn::Ge(column, begin), hn::Lt(column, end));
  if (mask.allowed != nullptr) {
    const auto allowed = LoadAllowed<T>(mask.allowed + j * mask.allowed_stride, mask.allowed_stride, count);
    visible = hn::And(visible, hn::Ne(allowed, hn::Zero(d)));
  }
  return visible;
}

// Raw scores of any lanes, capped.
template <typename T>
HWY_INLINE Vector<T> Softcap(const RowMask<T>& mask, Vector<T> scores) {
  if (mask.softcap == 0) return scores;
  const Tag<T> d;
  return hn::Mul(hn::Set(d, mask.softcap), TanhAny(d, hn::Mul(scores, hn::Set(d, 1 / mask.softcap))));
}

// scores, those of the lanes from column j on, less the slope times the distance.
template <typename T>
HWY_INLINE Vector<T> SubtractAlibi(const RowMask<T>& mask, int64_t j, Vector<T> scores) {
  if (mask.alibi_slope == 0) return scores;
  const Tag<T> d;
  const auto distance = hn::Abs(hn::Sub(hn::Set(d, static_cast<T>(mask.place - j)), hn::Iota(d, T{0})));
  return hn::NegMulAdd(hn::Set(d, mask.alibi_slope), distance, scores);
}

// scores, those of the lanes from column j on, with the bias.
template <typename T>
HWY_INLINE Vector<T> AddBias(const RowMask<T>& mask, int64_t j, int64_t cols, Vector<T> scores) {
  if (mask.bias == nullptr) return scores;
  const int64_t count = std::min(static_cast<int64_t>(hn::Lanes(Tag<T>())), cols - j);
  return hn::Add(scores, LoadBias(mask.bias + j * mask.bias_stride, mask.bias_stride, count));
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TILE_MASK_INL_H_
