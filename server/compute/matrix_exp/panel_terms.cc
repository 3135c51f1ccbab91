#include "server/compute/matrix_exp/panel_terms.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/panel_terms.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(AddTaylorTermHere);

void AddTaylorTerm(const TaylorTerm& term) { HWY_DYNAMIC_DISPATCH(AddTaylorTermHere)(term); }

}  // namespace attend::compute
#endif  // HWY_ONCE
