#include "server/compute/matrix_exp/panel_terms.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/panel_terms.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
template <class D>
HWY_INLINE void AddTermColumns(D d, const TaylorTerm& t, int64_t column) {
  const auto scale = hn::Set(d, t.scale);
  auto term_largest = hn::Zero(d);
  auto sum_largest = hn::Zero(d);
  double* HWY_RESTRICT term = t.term + column;
  double* HWY_RESTRICT sum = t.sum + column;
  for (int64_t i = 0; i < t.rows; ++i, term += t.width, sum += t.width) {
    const auto next = hn::Mul(scale, hn::LoadU(d, term));
    const auto total = hn::Add(hn::LoadU(d, sum), next);
    hn::StoreU(next, d, term);
    hn::StoreU(total, d, sum);
    term_largest = hn::Max(hn::Abs(next), term_largest);
    sum_largest = hn::Max(hn::Abs(total), sum_largest);
  }
  hn::StoreU(term_largest, d, t.term_largest + column);
  hn::StoreU(sum_largest, d, t.sum_largest + column);
}

void AddTaylorTermHere(const TaylorTerm& t) {
  const hn::CappedTag<double, 8> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t column = 0;
  for (; column + lanes <= t.width; column += lanes) AddTermColumns(d, t, column);
  for (; column < t.width; ++column) AddTermColumns(hn::CappedTag<double, 1>(), t, column);
}

// a + b = sum + error, exactly.
template <class V>
HWY_INLINE V ExactSum(V a, V b, V& error) {
  const V sum = hn::Add(a, b);
  const V b_part = hn::Sub(sum, a);
  error = hn::Add(hn::Sub(a, hn::Sub(sum, b_part)), hn::Sub(b, b_part));
  return sum;
}

template <class D, class V>
HWY_INLINE void AddWeightedVector(D d, V weight, V value, double* sum, double* rest) {
  V error;
  hn::StoreU(ExactSum(hn::LoadU(d, sum), hn::Mul(weight, value), error), d, sum);
  hn::StoreU(hn::Add(hn::LoadU(d, rest), error), d, rest);
}

template <class D, class V>
HWY_INLINE void StoreSplit(D d, V hi, V lo, double* grid, double* rest, double* value) {
  const V shift = hn::Set(d, 0x1.8p26);  // adding it leaves 26 bits behind the point
  const V on_grid = hn::Sub(hn::Add(hi, shift), shift);
  const V below = hn::Add(hn::Sub(hi, on_grid), lo);
  hn::StoreU(on_grid, d, grid);
  hn::StoreU(below, d, rest);
  hn::StoreU(hn::Add(on_grid, below), d, value);
}

template <bool kOfChange, class D>
HWY_INLINE double AddUniformRows(D d, const UniformTerm& t, const double* diagonal_rests) {
  const auto rate = hn::Set(d, t.rate);
  const auto weight = hn::Set(d, t.weight);
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto largest = hn::Zero(d);
  for (int64_t i = 0; i < t.rows; ++i) {
    const auto diagonal = hn::Set(d, diagonal_rests[i]);
    for (int64_t at = i * t.width; at < (i + 1) * t.width; at += lanes) {
      const auto before = hn::LoadU(d, t.before + at);
      const auto value = hn::Div(hn::MulAdd(diagonal, before, hn::LoadU(d, t.value + at)), rate);
      hn::StoreU(value, d, t.value + at);
      largest = hn::Max(hn::Abs(kOfChange ? hn::Sub(value, before) : value), largest);
      AddWeightedVector(d, weight, value, t.sum + at, t.rest + at);
    }
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

template <bool kOfChange>
double AddUniform(const UniformTerm& t, const double* diagonal_rests) {
  const PairTag d;
  if (t.width % static_cast<int64_t>(hn::Lanes(d)) == 0) return AddUniformRows<kOfChange>(d, t, diagonal_rests);
  return AddUniformRows<kOfChange>(hn::CappedTag<double, 1>(), t, diagonal_rests);
}

double AddUniformTermHere(const UniformTerm& t, const double* rests) { return AddUniform<true>(t, rests); }
double AddSmallUniformTermHere(const UniformTerm& t, const double* rests) { return AddUniform<false>(t, rests); }

// REQUIRES of all that follow: whole vectors, since rows are padded.
double AddSplitUniformTermHere(const UniformTerm& t, double* grid, double* low) {
  const PairTag d;
  const PairVec rate = hn::Set(d, t.rate);
  const PairVec weight = hn::Set(d, t.weight);
  PairVec largest = hn::Zero(d);
  for (int64_t at = 0; at < t.rows * t.width; at += static_cast<int64_t>(hn::Lanes(d))) {
    PairVec error;
    const PairVec sum = ExactSum(hn::LoadU(d, grid + at), hn::LoadU(d, low + at), error);
    // (sum + error) / rate, in twice the precision.
    const PairVec first = hn::Div(sum, rate);
    const PairVec product = hn::Mul(first, rate);
    const PairVec remainder = hn::Add(hn::Sub(hn::Sub(sum, product), ProductError(first, rate, product)), error);
    const PairVec second = hn::Div(remainder, rate);
    const PairVec hi = hn::Add(first, second);
    const PairVec lo = hn::Sub(second, hn::Sub(hi, first));
    StoreSplit(d, hi, lo, grid + at, low + at, t.value + at);
    largest = hn::Max(hn::Abs(hn::Sub(hi, hn::LoadU(d, t.before + at))), largest);
    AddWeightedVector(d, weight, hi, t.sum + at, t.rest + at);
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

void SplitOnGridHere(int64_t count, const double* hi, const double* lo, double* grid, double* rest, double* value) {
  const PairTag d;
  for (int64_t at = 0; at < count; at += static_cast<int64_t>(hn::Lanes(d))) {
    StoreSplit(d, hn::LoadU(d, hi + at), hn::LoadU(d, lo + at), grid + at, rest + at, value + at);
  }
}

void AddWeightedHere(int64_t count, double weight, const double* value, double* sum, double* rest) {
  const PairTag d;
  for (int64_t at = 0; at < count; at += static_cast<int64_t>(hn::Lanes(d))) {
    AddWeightedVector(d, hn::Set(d, weight), hn::LoadU(d, value + at), sum + at, rest + at);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(AddTaylorTermHere);

HWY_EXPORT(AddUniformTermHere);
HWY_EXPORT(AddSmallUniformTermHere);
HWY_EXPORT(AddSplitUniformTermHere);
HWY_EXPORT(SplitOnGridHere);
HWY_EXPORT(AddWeightedHere);

void AddTaylorTerm(const TaylorTerm& term) { HWY_DYNAMIC_DISPATCH(AddTaylorTermHere)(term); }

double AddUniformTerm(const UniformTerm& term, const double* diagonal_rests) {
  return HWY_DYNAMIC_DISPATCH(AddUniformTermHere)(term, diagonal_rests);
}

double AddSmallUniformTerm(const UniformTerm& term, const double* diagonal_rests) {
  return HWY_DYNAMIC_DISPATCH(AddSmallUniformTermHere)(term, diagonal_rests);
}

double AddSplitUniformTerm(const UniformTerm& term, double* grid, double* low) {
  return HWY_DYNAMIC_DISPATCH(AddSplitUniformTermHere)(term, grid, low);
}

void SplitOnGrid(int64_t count, const double* hi, const double* lo, double* grid, double* rest, double* value) {
  HWY_DYNAMIC_DISPATCH(SplitOnGridHere)(count, hi, lo, grid, rest, value);
}

void AddWeighted(int64_t count, double weight, const double* value, double* sum, double* rest) {
  HWY_DYNAMIC_DISPATCH(AddWeightedHere)(count, weight, value, sum, rest);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
