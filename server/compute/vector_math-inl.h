// Vector exponentials and hyperbolic tangents for Highway code, once per instruction set: include it after
// hwy/highway.h in a file that foreach_target.h compiles repeatedly.
//
// Source: argument reduction by ln 2 in two parts (Cody and Waite), a polynomial in the remainder, 2^k from the bits of
// a rounding constant; tanh in float is a rational function x P(x^2) / Q(x^2), fitted to the relative error.
#if defined(ATTEND_SERVER_COMPUTE_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_VECTOR_MATH_INL_H_
#undef ATTEND_SERVER_COMPUTE_VECTOR_MATH_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_VECTOR_MATH_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

// After highway.h, which it needs.
#include "hwy/contrib/math/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int kExponentBias = 127;
  static constexpr float kLog2E = 1.44269504f;
  static constexpr float kLn2High = 0.693145752f;  // few enough bits that k * kLn2High is exact
  static constexpr float kLn2Low = 1.42860677e-6f;
  static constexpr float kRound = 12582912.0f;     // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float kZeroBelow = -88.02969f;  // -127 ln 2: 2^k is then 0 in ExpNonPositive
  static constexpr float kLowest = -104.5f;        // exp rounds to 0
  static constexpr float kHighest = 89.5f;         // exp is past the largest float
};

template <>
struct ExpConstants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int kExponentBias = 1023;
  static constexpr double kLog2E = 1.4426950408889634;
  static constexpr double kLn2High = 6.93147180369123816490e-01;
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRound = 6755399441055744.0;      // 1.5 * 2^52
  static constexpr double kZeroBelow = -709.0895657128241;  // -1023 ln 2
  static constexpr double kLowest = -746.0;
  static constexpr double kHighest = 710.5;
};

// exp(r) for |r| <= ln 2 / 2, exactly 1 at 0; the minimax polynomial's relative error is 1.05e-7 in float.
template <class D, class V>
HWY_INLINE V ExpReduced(D d, V r, float /* tag */) {
  V p = hn::MulAdd(hn::Set(d, 8.312501e-3f), r, hn::Set(d, 4.189033e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6667116e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.999923e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::MulAdd(p, r, hn::Set(d, 1.0f));
}

// The Taylor polynomial of degree 13: the remainder is below 5e-18.
template <class D, class V>
HWY_INLINE V ExpReduced(D d, V r, double /* tag */) {
  V p = hn::MulAdd(hn::Set(d, 1.0 / 6227020800.0), r, hn::Set(d, 1.0 / 479001600.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 39916800.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 3628800.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 362880.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 40320.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 5040.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 720.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 120.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 24.0));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0 / 6.0));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0));
  return hn::MulAdd(p, r, hn::Set(d, 1.0));
}

// exp(x) for x <= 0, -infinity included; 0 where the result would not be a normal number.
template <class D, class V>
HWY_INLINE V ExpNonPositive(D d, V x) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  const hn::RebindToUnsigned<D> du;
  x = hn::Max(x, hn::Set(d, C::kZeroBelow));
  // The biased exponent of 2^k ends up in the low bits of `shifted`; k >= -bias, so that it is never negative.
  const V round = hn::Set(d, C::kRound + C::kExponentBias);
  const V shifted = hn::MulAdd(x, hn::Set(d, C::kLog2E), round);
  const V k = hn::Sub(shifted, round);
  V r = hn::NegMulAdd(k, hn::Set(d, C::kLn2High), x);
  r = hn::NegMulAdd(k, hn::Set(d, C::kLn2Low), r);
  const V power = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::BitCast(du, shifted)));
  return hn::Mul(ExpReduced(d, r, T{}), power);
}

// exp(x) for every x: gradual underflow, +infinity past the largest number.
template <class D, class V>
HWY_INLINE V ExpAny(D d, V x) {
  using T = hn::TFromD<D>;
  using C = ExpConstants<T>;
  const hn::RebindToSigned<D> di;
  x = hn::Min(hn::Max(x, hn::Set(d, C::kLowest)), hn::Set(d, C::kHighest));
  const V round = hn::Set(d, C::kRound);
  const V shifted = hn::MulAdd(x, hn::Set(d, C::kLog2E), round);
  const V k = hn::Sub(shifted, round);
  V r = hn::NegMulAdd(k, hn::Set(d, C::kLn2High), x);
  r = hn::NegMulAdd(k, hn::Set(d, C::kLn2Low), r);
  // 2^k may be out of range where exp(x) is not: two factors.
  const auto exponent = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, round));
  const auto half = hn::ShiftRight<1>(exponent);
  const auto bias = hn::Set(di, C::kExponentBias);
  const V first = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(half, bias)));
  const V second = hn::BitCast(d, hn::ShiftLeft<C::kMantissaBits>(hn::Add(hn::Sub(exponent, half), bias)));
  return hn::Mul(hn::Mul(ExpReduced(d, r, T{}), first), second);
}

// tanh(x) for every x but NaN, never past 1 in magnitude. Where |x| > kSaturated it rounds to 1.
// Relative error at most 3.5e-7: 2.1e-8 of the function, the rest of its rounding.
template <class D, class V>
HWY_INLINE V TanhReduced(D d, V x, float /* tag */) {
  constexpr float kSaturated = 9.02f;
  x = hn::Max(hn::Min(x, hn::Set(d, kSaturated)), hn::Set(d, -kSaturated));
  const V u = hn::Mul(x, x);
  V p = hn::MulAdd(hn::Set(d, 1.33189707e-8f), u, hn::Set(d, 2.05834061e-5f));
  V q = hn::MulAdd(hn::Set(d, 7.7619773e-7f), u, hn::Set(d, 3.28308533e-4f));
  p = hn::MulAdd(p, u, hn::Set(d, 3.49402996e-3f));
  q = hn::MulAdd(q, u, hn::Set(d, 2.58710557e-2f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.133797141f));
  q = hn::MulAdd(q, u, hn::Set(d, 0.467130293f));
  p = hn::MulAdd(p, u, hn::Set(d, 0.999999979f));
  q = hn::MulAdd(q, u, hn::Set(d, 1.0f));
  const V y = hn::Div(hn::Mul(x, p), q);
  return hn::Max(hn::Min(y, hn::Set(d, 1.0f)), hn::Set(d, -1.0f));
}

// Relative error at most 4 units in the last place.
template <class D, class V>
HWY_INLINE V TanhReduced(D d, V x, double /* tag */) {
  return hn::Tanh(d, x);
}

template <class D, class V>
HWY_INLINE V TanhAny(D d, V x) {
  return TanhReduced(d, x, hn::TFromD<D>{});
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_VECTOR_MATH_INL_H_
