#include "server/compute/matrix_exp/row_sums.h"

#include <algorithm>
#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/row_sums.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/entrywise-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

using RowTag = hn::CappedTag<double, 8>;
using RowVec = hn::Vec<RowTag>;
constexpr int64_t kMostRowLanes = 8;

// Lane by lane, then over the lanes, then the entries that fill no vector.
template <typename T>
RowSums SumEntriesHere(const T* entries, int64_t count, const PowerOfTwo& scale) {
  const RowTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kChains = 2;
  const RowVec first = hn::Set(d, scale.first());
  const RowVec second = hn::Set(d, scale.second());
  RowVec hi[kChains], lo[kChains], absolute[kChains];
  for (int c = 0; c < kChains; ++c) hi[c] = lo[c] = absolute[c] = hn::Zero(d);
  int64_t j = 0;
  for (; j + kChains * lanes <= count; j += kChains * lanes) {
    for (int c = 0; c < kChains; ++c) {
      const RowVec entry = hn::Mul(hn::Mul(LoadEntries(d, entries + j + c * lanes), first), second);
      absolute[c] = hn::Add(absolute[c], hn::Abs(entry));
      const RowVec sum = hn::Add(hi[c], entry);
      const RowVec part = hn::Sub(sum, hi[c]);
      const RowVec error = hn::Add(hn::Sub(hi[c], hn::Sub(sum, part)), hn::Sub(entry, part));
      const RowVec below = hn::Add(lo[c], error);
      hi[c] = hn::Add(sum, below);
      lo[c] = hn::Sub(below, hn::Sub(hi[c], sum));
    }
  }
  RowSums total;
  HWY_ALIGN double lane_hi[kMostRowLanes];
  HWY_ALIGN double lane_lo[kMostRowLanes];
  for (int c = 0; c < kChains; ++c) {
    hn::Store(hi[c], d, lane_hi);
    hn::Store(lo[c], d, lane_lo);
    total.absolute += hn::GetLane(hn::SumOfLanes(d, absolute[c]));
    for (int64_t lane = 0; lane < lanes; ++lane) total.sum = total.sum + DoubleDouble{lane_hi[lane], lane_lo[lane]};
  }
  for (; j < count; ++j) {
    const double entry = scale(static_cast<double>(entries[j]));
    total.sum = total.sum + entry;
    total.absolute += std::fabs(entry);
  }
  return total;
}

RowSums SumFloats(const float* entries, int64_t count, const PowerOfTwo& scale) {
  return SumEntriesHere(entries, count, scale);
}
RowSums SumDoubles(const double* entries, int64_t count, const PowerOfTwo& scale) {
  return SumEntriesHere(entries, count, scale);
}

template <typename T>
Range RangeHere(const T* entries, int64_t count) {
  const RowTag d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  RowVec least = hn::Set(d, std::numeric_limits<double>::infinity());
  RowVec largest = hn::Neg(least);
  int64_t j = 0;
  for (; j + lanes <= count; j += lanes) {
    const RowVec entry = LoadEntries(d, entries + j);
    least = hn::Min(entry, least);  // in this order: the second where the first is NaN
    largest = hn::Max(entry, largest);
  }
  Range range{hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, largest))};
  for (; j < count; ++j) {
    range.least = std::min(range.least, static_cast<double>(entries[j]));
    range.largest = std::max(range.largest, static_cast<double>(entries[j]));
  }
  return range;
}

Range RangeOfFloats(const float* entries, int64_t count) { return RangeHere(entries, count); }
Range RangeOfDoubles(const double* entries, int64_t count) { return RangeHere(entries, count); }

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(SumFloats);
HWY_EXPORT(SumDoubles);
HWY_EXPORT(RangeOfFloats);
HWY_EXPORT(RangeOfDoubles);

template <>
RowSums SumEntries(const float* entries, int64_t count, const PowerOfTwo& scale) {
  return HWY_DYNAMIC_DISPATCH(SumFloats)(entries, count, scale);
}

template <>
RowSums SumEntries(const double* entries, int64_t count, const PowerOfTwo& scale) {
  return HWY_DYNAMIC_DISPATCH(SumDoubles)(entries, count, scale);
}

template <>
Range RangeOf(const float* entries, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(RangeOfFloats)(entries, count);
}

template <>
Range RangeOf(const double* entries, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(RangeOfDoubles)(entries, count);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
