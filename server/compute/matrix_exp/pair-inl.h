// Arithmetic of pairs (double_double.h) in vectors, for Highway code: see entrywise-inl.h for how to include it.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kMaxPairLanes = 8;
using PairTag = hn::CappedTag<double, kMaxPairLanes>;
using PairVec = hn::Vec<PairTag>;

// The rounding error of `product` = fl(a b).
HWY_INLINE PairVec ProductError(PairVec a, PairVec b, PairVec product) {
#if HWY_NATIVE_FMA
  return hn::MulSub(a, b, product);
#else
  // Halves of 26 bits, whose products are exact.
  const PairTag tag;
  const PairVec splitter = hn::Set(tag, 134217729.0);
  const PairVec a_scaled = hn::Mul(splitter, a);
  const PairVec a_high = hn::Sub(a_scaled, hn::Sub(a_scaled, a));
  const PairVec a_low = hn::Sub(a, a_high);
  const PairVec b_scaled = hn::Mul(splitter, b);
  const PairVec b_high = hn::Sub(b_scaled, hn::Sub(b_scaled, b));
  const PairVec b_low = hn::Sub(b, b_high);
  const PairVec cross = hn::Add(hn::Mul(a_high, b_low), hn::Mul(a_low, b_high));
  return hn::Add(hn::Add(hn::Sub(hn::Mul(a_high, b_high), product), cross), hn::Mul(a_low, b_low));
#endif
}

// hi + lo += (a_hi + a_lo) (b_hi + b_lo).
HWY_INLINE void Accumulate(PairVec a_hi, PairVec a_lo, PairVec b_hi, PairVec b_lo, PairVec& hi, PairVec& lo) {
  const PairVec product = hn::Mul(a_hi, b_hi);
  const PairVec product_error = ProductError(a_hi, b_hi, product);
  const PairVec sum = hn::Add(hi, product);
  const PairVec part = hn::Sub(sum, hi);
  const PairVec sum_error = hn::Add(hn::Sub(hi, hn::Sub(sum, part)), hn::Sub(product, part));
  const PairVec cross = hn::MulAdd(a_hi, b_lo, hn::MulAdd(a_lo, b_hi, hn::Add(product_error, sum_error)));
  hi = sum;
  lo = hn::Add(lo, cross);
}

// Makes |lo| <= ulp(hi) / 2 again. REQUIRES: |hi| >= |lo| or hi = 0.
HWY_INLINE void Renormalize(PairVec& hi, PairVec& lo) {
  const PairVec total = hn::Add(hi, lo);
  lo = hn::Sub(lo, hn::Sub(total, hi));
  hi = total;
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
