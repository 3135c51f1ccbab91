// Passes over the entries of matrices for Highway code, once per instruction set: include it after hwy/highway.h in a
// file that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// out = sum over k < count of coefficients[k] * terms[k], in this order. `out` may be one of the terms.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void Combine(D d, int64_t entries, int count, const T* coefficients, const T* const* terms, T* out) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + lanes <= entries; i += lanes) {
    auto sum = hn::Mul(hn::Set(d, coefficients[0]), hn::LoadU(d, terms[0] + i));
    for (int k = 1; k < count; ++k) {
      sum = hn::MulAdd(hn::Set(d, coefficients[k]), hn::LoadU(d, terms[k] + i), sum);
    }
    hn::StoreU(sum, d, out + i);
  }
  for (; i < entries; ++i) {
    T sum = coefficients[0] * terms[0][i];
    for (int k = 1; k < count; ++k) sum = std::fma(coefficients[k], terms[k][i], sum);
    out[i] = sum;
  }
}

// The entries at `from` as vectors of D, which may be wider than they are.
template <class D>
HWY_INLINE hn::Vec<D> LoadEntries(D d, const hn::TFromD<D>* from) {
  return hn::LoadU(d, from);
}
template <class D, std::enable_if_t<sizeof(hn::TFromD<D>) == 8>* = nullptr>
HWY_INLINE hn::Vec<D> LoadEntries(D d, const float* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, D>(), from));
}

// sums[j] = sum over i of weights[i] |a_ij| for j < cols (weights null: 1); returns the largest. Row i starts at
// a + i * stride. The sums are of D's type S, the entries of that or a narrower one.
template <class D, typename T, typename S = hn::TFromD<D>>
HWY_INLINE S AbsColumnSums(D d, int64_t rows, int64_t cols, const T* a, int64_t stride, const S* weights, S* sums) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kUnroll = 4;  // vectors of a row at once, so that a large matrix's lines are read whole
  S largest = 0;
  int64_t j = 0;
  for (; j + kUnroll * lanes <= cols; j += kUnroll * lanes) {
    hn::Vec<D> sum[kUnroll];
    for (auto& each : sum) each = hn::Zero(d);
    for (int64_t i = 0; i < rows; ++i) {
      const auto weight = hn::Set(d, weights == nullptr ? S{1} : weights[i]);
      const T* row = a + i * stride + j;
      for (int v = 0; v < kUnroll; ++v) sum[v] = hn::MulAdd(weight, hn::Abs(LoadEntries(d, row + v * lanes)), sum[v]);
    }
    for (int v = 0; v < kUnroll; ++v) {
      hn::StoreU(sum[v], d, sums + j + v * lanes);
      largest = std::max(largest, hn::GetLane(hn::MaxOfLanes(d, sum[v])));
    }
  }
  for (; j + lanes <= cols; j += lanes) {
    auto sum = hn::Zero(d);
    for (int64_t i = 0; i < rows; ++i) {
      const auto entry = hn::Abs(LoadEntries(d, a + i * stride + j));
      sum = weights == nullptr ? hn::Add(sum, entry) : hn::MulAdd(hn::Set(d, weights[i]), entry, sum);
    }
    hn::StoreU(sum, d, sums + j);
    largest = std::max(largest, hn::GetLane(hn::MaxOfLanes(d, sum)));
  }
  for (; j < cols; ++j) {
    S sum = 0;
    for (int64_t i = 0; i < rows; ++i) {
      sum += (weights == nullptr ? S{1} : weights[i]) * static_cast<S>(std::fabs(a[i * stride + j]));
    }
    sums[j] = sum;
    largest = std::max(largest, sum);
  }
  return largest;
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
