#include "server/compute/attention/softmax_tile.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/softmax_tile.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which they need.
#include "server/compute/attention/tile_mask-inl.h"
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

template <typename T>
constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

template <typename T>
struct RowScan {
  T max;
  bool finite;
};

// The running maximum of one lane column, and a sum of score * 0 that is NaN once a score was not finite.
template <typename T>
struct Scanner {
  Vector<T> max;
  Vector<T> zeros;

  HWY_INLINE void Check(Vector<T> v) { zeros = hn::MulAdd(v, hn::Zero(Tag<T>()), zeros); }
  HWY_INLINE void Add(Vector<T> v) {
    Check(v);
    max = hn::Max(max, v);
  }
};

template <typename T>
HWY_INLINE Scanner<T> NewScanner() {
  const Tag<T> d;
  return {hn::Set(d, kMinusInfinity<T>), hn::Zero(d)};
}

template <typename T>
HWY_INLINE RowScan<T> Finish(const Scanner<T>& a, const Scanner<T>& b) {
  const Tag<T> d;
  const auto zeros = hn::Add(a.zeros, b.zeros);
  return {hn::GetLane(hn::MaxOfLanes(d, hn::Max(a.max, b.max))), hn::AllTrue(d, hn::Eq(zeros, hn::Zero(d)))};
}

// The maximum of a row that is visible as a whole. Pads it with -infinity to whole vectors.
template <typename T>
HWY_INLINE RowScan<T> ScanRow(T* row, int64_t cols) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  Scanner<T> even = NewScanner<T>();
  Scanner<T> odd = NewScanner<T>();
  int64_t j = 0;
  for (; j + 2 * lanes <= cols; j += 2 * lanes) {
    even.Add(hn::LoadU(d, row + j));
    odd.Add(hn::LoadU(d, row + j + lanes));
  }
  for (; j < cols; j += lanes) {
    const auto inside = hn::FirstN(d, static_cast<size_t>(cols - j));
    const auto v = hn::LoadU(d, row + j);
    even.Check(hn::IfThenElseZero(inside, v));
    const auto padded = hn::IfThenElse(inside, v, hn::Set(d, kMinusInfinity<T>));
    even.max = hn::Max(even.max, padded);
    hn::StoreU(padded, d, row + j);
  }
  return Finish(even, odd);
}

// Makes a row of raw scores what the mask makes of it and finds the maximum of what is visible; pads with -infinity to
// whole vectors. Only visible scores need be finite, raw and without the bias.
template <typename T>
HWY_INLINE RowScan<T> MaskRow(T* row, int64_t cols, const RowMask<T>& mask) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  Scanner<T> scan = NewScanner<T>();
  for (int64_t j = 0; j < cols; j += lanes) {
    const auto visible = VisibleLanes(mask, j, cols);
    auto v = hn::IfThenElseZero(visible, hn::LoadU(d, row + j));
    scan.Check(v);
    v = SubtractAlibi(mask, j, Softcap(mask, v));
    scan.Check(hn::IfThenElseZero(visible, v));
    v = hn::IfThenElse(visible, AddBias(mask, j, cols, v), hn::Set(d, kMinusInfinity<T>));
    scan.max = hn::Max(scan.max, v);
    hn::StoreU(v, d, row + j);
  }
  return Finish(scan, NewScanner<T>());
}

template <typename T>
struct RowSums {
  T sum;
  T weighted;
};

// exp(score - max) in place over whole vectors, and its sums.
template <bool kWeighted, typename T>
HWY_INLINE RowSums<T> ExpRow(T* row, int64_t cols, T max) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto shift = hn::Set(d, max);
  auto sum = hn::Zero(d);
  auto weighted = hn::Zero(d);
  for (int64_t j = 0; j < cols; j += lanes) {
    const auto x = hn::Sub(hn::LoadU(d, row + j), shift);
    const auto e = ExpNonPositive(d, x);
    hn::StoreU(e, d, row + j);
    sum = hn::Add(sum, e);
    // 0 * -infinity is none of the sum's business.
    if (kWeighted) weighted = hn::MulAdd(e, hn::Max(x, hn::Set(d, ExpConstants<T>::kZeroBelow)), weighted);
  }
  return {hn::GetLane(hn::SumOfLanes(d, sum)), kWeighted ? hn::GetLane(hn::SumOfLanes(d, weighted)) : T{0}};
}

// Takes a row of scores with its maximum into the row's state. Returns whether earlier sums have to be corrected.
template <bool kWeighted, typename T>
HWY_INLINE bool AddRow(T* row, int64_t cols, T row_max, const RowStates<T>& states, int64_t r) {
  const T before = states.max[r];
  const T now = std::max(before, row_max);
  states.correction[r] = 1;
  if (now == kMinusInfinity<T>) {
    std::fill_n(row, cols, T{0});
    return false;
  }
  const RowSums<T> sums = ExpRow<kWeighted>(row, cols, now);
  if (before == now) {
    states.sum[r] += sums.sum;
    if (kWeighted) states.weighted[r] += sums.weighted;
    return false;
  }
  const T correction = std::exp(before - now);
  if (kWeighted) {
    const T moved = correction == 0 ? 0 : correction * (states.weighted[r] + states.sum[r] * (before - now));
    states.weighted[r] = moved + sums.weighted;
  }
  states.sum[r] = states.sum[r] * correction + sums.sum;
  states.max[r] = now;
  states.correction[r] = correction;
  return before != kMinusInfinity<T>;
}

// The masked scores of a row, `visible` those that the band leaves, -infinity elsewhere.
template <typename T>
HWY_INLINE void CopyRow(const T* visible, const RowMask<T>& mask, int64_t cols, T* to) {
  std::fill(to, to + mask.begin, kMinusInfinity<T>);
  std::copy(visible, visible + (mask.end - mask.begin), to + mask.begin);
  std::fill(to + mask.end, to + cols, kMinusInfinity<T>);
}

// Only what the band leaves of a row is read; the rest becomes 0.
template <bool kWeighted, typename T>
HWY_INLINE TileOutcome Sweep(const Matrix<T>& scores, const TileMask<T>* tile, const RowStates<T>& states,
                             const ScoreCopy<T>& copy) {
  TileMask<T> whole;
  whole.band.limit = scores.cols;
  const TileMask<T>& tile_mask = tile == nullptr ? whole : *tile;
  const bool only_band = IsOnlyBand(tile_mask);
  TileOutcome outcome;
  for (int64_t r = 0; r < scores.rows; ++r) {
    const RowMask<T> mask = MaskOfRow(tile_mask, r);
    T* row = scores.row(r);
    T* visible = row + mask.begin;
    const int64_t count = mask.end - mask.begin;
    const RowScan<T> scan = only_band ? ScanRow(visible, count) : MaskRow(visible, count, FromColumn(mask, mask.begin));
    // A bias may have carried a finite score past the largest number.
    if (!scan.finite || scan.max == std::numeric_limits<T>::infinity()) return {false, false};
    if (copy.data != nullptr) CopyRow(visible, mask, scores.cols, copy.data + r * copy.stride);
    outcome.rescale |= AddRow<kWeighted>(visible, count, scan.max, states, r);
    std::fill(row, visible, T{0});
    std::fill(visible + count, row + scores.cols, T{0});
  }
  return outcome;
}

template <typename T>
HWY_INLINE TileOutcome SoftmaxTileT(const Matrix<T>& scores, const TileMask<T>* mask, const RowStates<T>& states,
                                    const ScoreCopy<T>& copy) {
  if (states.weighted == nullptr) return Sweep<false>(scores, mask, states, copy);
  return Sweep<true>(scores, mask, states, copy);
}

TileOutcome SoftmaxTileF32(const Matrix<float>& scores, const TileMask<float>* mask, const RowStates<float>& rows,
                           const ScoreCopy<float>& copy) {
  return SoftmaxTileT(scores, mask, rows, copy);
}
TileOutcome SoftmaxTileF64(const Matrix<double>& scores, const TileMask<double>* mask, const RowStates<double>& rows,
                           const ScoreCopy<double>& copy) {
  return SoftmaxTileT(scores, mask, rows, copy);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(SoftmaxTileF32);
HWY_EXPORT(SoftmaxTileF64);

TileOutcome SoftmaxTile(const Matrix<float>& scores, const TileMask<float>* mask, const RowStates<float>& rows,
                        const ScoreCopy<float>& copy) {
  return HWY_DYNAMIC_DISPATCH(SoftmaxTileF32)(scores, mask, rows, copy);
}
TileOutcome SoftmaxTile(const Matrix<double>& scores, const TileMask<double>* mask, const RowStates<double>& rows,
                        const ScoreCopy<double>& copy) {
  return HWY_DYNAMIC_DISPATCH(SoftmaxTileF64)(scores, mask, rows, copy);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
