#include "server/compute/convert.h"

#include <algorithm>
#include <array>
#include <bit>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/convert.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace attend::compute::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename Half>
void PromoteAll(const uint16_t* HWY_RESTRICT from, float* HWY_RESTRICT to, size_t count) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<Half, decltype(df)> dh;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::PromoteTo(df, hn::LoadU(dh, reinterpret_cast<const Half*>(from) + i)), df, to + i);
  }
  for (; i < count; ++i) {
    const hn::CappedTag<float, 1> one;
    const hn::Rebind<Half, decltype(one)> one_half;
    hn::StoreU(hn::PromoteTo(one, hn::LoadU(one_half, reinterpret_cast<const Half*>(from) + i)), one, to + i);
  }
}

void FloatToFloat16(const float* HWY_RESTRICT from, uint16_t* HWY_RESTRICT to, size_t count) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<hwy::float16_t, decltype(df)> dh;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::DemoteTo(dh, hn::LoadU(df, from + i)), dh, reinterpret_cast<hwy::float16_t*>(to) + i);
  }
  for (; i < count; ++i) {
    const hn::CappedTag<float, 1> one;
    const hn::Rebind<hwy::float16_t, decltype(one)> one_half;
    hn::StoreU(hn::DemoteTo(one_half, hn::LoadU(one, from + i)), one_half, reinterpret_cast<hwy::float16_t*>(to) + i);
  }
}

// x - x is zero for a finite x and NaN otherwise; a sum of them stays zero only while all are finite.
template <typename T>
bool Finite(const T* HWY_RESTRICT values, size_t count) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto x = hn::LoadU(d, values + i);
    sum = hn::Add(sum, hn::Sub(x, x));
  }
  T rest = 0;
  for (; i < count; ++i) rest += values[i] - values[i];
  return rest == 0 && hn::AllTrue(d, hn::Eq(sum, hn::Zero(d)));
}

void BFloat16ToFloat(const uint16_t* from, float* to, size_t count) { PromoteAll<hwy::bfloat16_t>(from, to, count); }
void Float16ToFloat(const uint16_t* from, float* to, size_t count) { PromoteAll<hwy::float16_t>(from, to, count); }
bool FloatsFinite(const float* values, size_t count) { return Finite(values, count); }
bool DoublesFinite(const double* values, size_t count) { return Finite(values, count); }

}  // namespace attend::compute::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace attend::compute {
namespace {

HWY_EXPORT(BFloat16ToFloat);
HWY_EXPORT(Float16ToFloat);
HWY_EXPORT(FloatToFloat16);
HWY_EXPORT(FloatsFinite);
HWY_EXPORT(DoublesFinite);

// By hand: Highway 1.0 truncates where we want the nearest.
void FloatToBFloat16(const float* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(from[i]);
    const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    const uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1);
    to[i] = static_cast<uint16_t>((is_nan ? bits | 0x400000u : rounded) >> 16);
  }
}

template <typename From, typename To>
void CopyAs(const Tensor& from, Tensor& to) {
  for (int64_t i = 0; i < from.size(); ++i) to.data<To>()[i] = static_cast<To>(from.data<From>()[i]);
}

}  // namespace

void BFloat16ToFloat(const uint16_t* from, float* to, size_t count) {
  HWY_DYNAMIC_DISPATCH(BFloat16ToFloat)(from, to, count);
}
void Float16ToFloat(const uint16_t* from, float* to, size_t count) {
  HWY_DYNAMIC_DISPATCH(Float16ToFloat)(from, to, count);
}
bool AllFinite(const float* values, size_t count) { return HWY_DYNAMIC_DISPATCH(FloatsFinite)(values, count); }
bool AllFinite(const double* values, size_t count) { return HWY_DYNAMIC_DISPATCH(DoublesFinite)(values, count); }

void RoundTo(DType to, float* values, size_t count) {
  if (to != DType::kBFloat16 && to != DType::kFloat16) return;
  std::array<uint16_t, 256> halves;
  for (size_t begin = 0; begin < count; begin += halves.size()) {
    const size_t step = std::min(halves.size(), count - begin);
    if (to == DType::kBFloat16) {
      FloatToBFloat16(values + begin, halves.data(), step);
      BFloat16ToFloat(halves.data(), values + begin, step);
    } else {
      HWY_DYNAMIC_DISPATCH(FloatToFloat16)(values + begin, halves.data(), step);
      Float16ToFloat(halves.data(), values + begin, step);
    }
  }
}

Tensor ConvertTo(DType to, const Tensor& from, runtime::BufferPool& pool) {
  Tensor result(to, from.shape(), pool);
  if (from.dtype() == DType::kFloat64) {
    switch (to) {
      case DType::kFloat64:
        CopyAs<double, double>(from, result);
        return result;
      case DType::kFloat32:
        CopyAs<double, float>(from, result);
        return result;
      default:
        return ConvertTo(to, ConvertTo(DType::kFloat32, from, pool), pool);
    }
  }
  const float* values = from.data<float>();
  switch (to) {
    case DType::kFloat64:
      CopyAs<float, double>(from, result);
      break;
    case DType::kBFloat16:
      FloatToBFloat16(values, result.data<uint16_t>(), from.size());
      break;
    case DType::kFloat16:
      HWY_DYNAMIC_DISPATCH(FloatToFloat16)(values, result.data<uint16_t>(), from.size());
      break;
    default:
      CopyAs<float, float>(from, result);
  }
  return result;
}

}  // namespace attend::compute

#endif  // HWY_ONCE
