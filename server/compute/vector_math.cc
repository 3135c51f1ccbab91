#include "server/compute/vector_math.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/vector_math.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// At most this many lanes, so that the tail fits a small array on every machine.
constexpr int64_t kMaxLanes = 16;

// Calls op(x) -> V on all elements; lanes past the end hold `fill` and their results go nowhere.
template <typename T, class Op>
HWY_INLINE void ForEachVector(const T* x, int64_t count, T fill, const Op& op) {
  const hn::CappedTag<T, kMaxLanes> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) op(hn::LoadU(d, x + i));
  if (i == count) return;
  HWY_ALIGN T tail[kMaxLanes];
  for (int64_t j = 0; j < lanes; ++j) tail[j] = i + j < count ? x[i + j] : fill;
  op(hn::Load(d, tail));
}

template <typename T, class Op>
HWY_INLINE void Transform(T* x, int64_t count, const Op& op) {
  const hn::CappedTag<T, kMaxLanes> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(op(hn::LoadU(d, x + i)), d, x + i);
  if (i == count) return;
  HWY_ALIGN T tail[kMaxLanes] = {};
  for (int64_t j = 0; i + j < count; ++j) tail[j] = x[i + j];
  hn::Store(op(hn::Load(d, tail)), d, tail);
  for (int64_t j = 0; i + j < count; ++j) x[i + j] = tail[j];
}

template <typename T>
HWY_INLINE void ExpT(T* x, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  Transform(x, count, [d](auto v) HWY_ATTR { return ExpAny(d, v); });
}

template <typename T>
HWY_INLINE void SoftplusT(T* x, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  Transform(x, count, [d](auto v) HWY_ATTR {
    const auto small = ExpAny(d, hn::Neg(hn::Abs(v)));
    return hn::Add(hn::Max(v, hn::Zero(d)), hn::Log1p(d, small));
  });
}

template <typename T>
HWY_INLINE void TanhT(T* x, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  Transform(x, count, [d](auto v) HWY_ATTR { return TanhAny(d, v); });
}

template <typename T>
HWY_INLINE void ReluT(T* x, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  Transform(x, count, [d](auto v) HWY_ATTR { return hn::Max(v, hn::Zero(d)); });
}

template <typename T>
HWY_INLINE void ExpShiftedT(T* x, T shift, T factor, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  const auto by = hn::Set(d, shift);
  const auto times = hn::Set(d, factor);
  // The lanes of a tail past the end are 0, which may be above the shift; nobody reads what becomes of them.
  Transform(x, count, [=](auto v) HWY_ATTR { return hn::Mul(times, ExpNonPositive(d, hn::Sub(v, by))); });
}

// A sum of x * 0 is NaN as soon as one x is not finite.
template <typename T>
HWY_INLINE bool ScaleT(T* x, T factor, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  const auto times = hn::Set(d, factor);
  auto zeros = hn::Zero(d);
  Transform(x, count, [&](auto v) HWY_ATTR {
    const auto scaled = hn::Mul(v, times);
    zeros = hn::MulAdd(scaled, hn::Zero(d), zeros);
    return scaled;
  });
  return hn::AllTrue(d, hn::Eq(zeros, hn::Zero(d)));
}

template <typename T>
HWY_INLINE T SumT(const T* x, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  auto sum = hn::Zero(d);
  ForEachVector(x, count, T{0}, [&](auto v) HWY_ATTR { sum = hn::Add(sum, v); });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

template <typename T>
HWY_INLINE T EntropyT(const T* p, int64_t count) {
  const hn::CappedTag<T, kMaxLanes> d;
  auto sum = hn::Zero(d);
  ForEachVector(p, count, T{0}, [&](auto v) HWY_ATTR {
    const auto positive = hn::Gt(v, hn::Zero(d));
    const auto log = hn::Log(d, hn::IfThenElse(positive, v, hn::Set(d, T{1})));
    sum = hn::NegMulAdd(v, log, sum);
  });
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

void ExpF32(float* x, int64_t count) { ExpT(x, count); }
void ExpF64(double* x, int64_t count) { ExpT(x, count); }
void SoftplusF32(float* x, int64_t count) { SoftplusT(x, count); }
void SoftplusF64(double* x, int64_t count) { SoftplusT(x, count); }
void TanhF32(float* x, int64_t count) { TanhT(x, count); }
void TanhF64(double* x, int64_t count) { TanhT(x, count); }
void ReluF32(float* x, int64_t count) { ReluT(x, count); }
void ReluF64(double* x, int64_t count) { ReluT(x, count); }
void ExpShiftedF32(float* x, float shift, float factor, int64_t count) { ExpShiftedT(x, shift, factor, count); }
void ExpShiftedF64(double* x, double shift, double factor, int64_t count) { ExpShiftedT(x, shift, factor, count); }
bool ScaleF32(float* x, float factor, int64_t count) { return ScaleT(x, factor, count); }
bool ScaleF64(double* x, double factor, int64_t count) { return ScaleT(x, factor, count); }
float SumF32(const float* x, int64_t count) { return SumT(x, count); }
double SumF64(const double* x, int64_t count) { return SumT(x, count); }
float EntropyF32(const float* p, int64_t count) { return EntropyT(p, count); }
double EntropyF64(const double* p, int64_t count) { return EntropyT(p, count); }

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(ExpF32);
HWY_EXPORT(ExpF64);
HWY_EXPORT(SoftplusF32);
HWY_EXPORT(SoftplusF64);
HWY_EXPORT(TanhF32);
HWY_EXPORT(TanhF64);
HWY_EXPORT(ReluF32);
HWY_EXPORT(ReluF64);
HWY_EXPORT(ExpShiftedF32);
HWY_EXPORT(ExpShiftedF64);
HWY_EXPORT(ScaleF32);
HWY_EXPORT(ScaleF64);
HWY_EXPORT(SumF32);
HWY_EXPORT(SumF64);
HWY_EXPORT(EntropyF32);
HWY_EXPORT(EntropyF64);

void Exp(float* x, int64_t count) { HWY_DYNAMIC_DISPATCH(ExpF32)(x, count); }
void Exp(double* x, int64_t count) { HWY_DYNAMIC_DISPATCH(ExpF64)(x, count); }
void Softplus(float* x, int64_t count) { HWY_DYNAMIC_DISPATCH(SoftplusF32)(x, count); }
void Softplus(double* x, int64_t count) { HWY_DYNAMIC_DISPATCH(SoftplusF64)(x, count); }
void Tanh(float* x, int64_t count) { HWY_DYNAMIC_DISPATCH(TanhF32)(x, count); }
void Tanh(double* x, int64_t count) { HWY_DYNAMIC_DISPATCH(TanhF64)(x, count); }
void Relu(float* x, int64_t count) { HWY_DYNAMIC_DISPATCH(ReluF32)(x, count); }
void Relu(double* x, int64_t count) { HWY_DYNAMIC_DISPATCH(ReluF64)(x, count); }
void ExpShifted(float* x, float shift, float factor, int64_t count) {
  HWY_DYNAMIC_DISPATCH(ExpShiftedF32)(x, shift, factor, count);
}
void ExpShifted(double* x, double shift, double factor, int64_t count) {
  HWY_DYNAMIC_DISPATCH(ExpShiftedF64)(x, shift, factor, count);
}
bool Scale(float* x, float factor, int64_t count) { return HWY_DYNAMIC_DISPATCH(ScaleF32)(x, factor, count); }
bool Scale(double* x, double factor, int64_t count) { return HWY_DYNAMIC_DISPATCH(ScaleF64)(x, factor, count); }
float Sum(const float* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(SumF32)(x, count); }
double Sum(const double* x, int64_t count) { return HWY_DYNAMIC_DISPATCH(SumF64)(x, count); }
float Entropy(const float* p, int64_t count) { return HWY_DYNAMIC_DISPATCH(EntropyF32)(p, count); }
double Entropy(const double* p, int64_t count) { return HWY_DYNAMIC_DISPATCH(EntropyF64)(p, count); }

}  // namespace attend::compute
#endif  // HWY_ONCE
