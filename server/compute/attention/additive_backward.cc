#include "server/compute/attention/additive_backward.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/additive_backward.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

constexpr int64_t kMostLanes = 16;
template <typename T>
using Tag = hn::CappedTag<T, kMostLanes>;

// `count` elements as the first lanes of a vector, zero in the others; at most as many as there are lanes.
template <typename T>
HWY_INLINE hn::Vec<Tag<T>> LoadFirst(const T* from, int64_t count) {
  const Tag<T> d;
  if (count == static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, from);
  HWY_ALIGN T lanes[kMostLanes] = {};
  std::copy_n(from, count, lanes);
  return hn::Load(d, lanes);
}

template <typename T>
HWY_INLINE void AddFirst(hn::Vec<Tag<T>> v, T* to, int64_t count) {
  const Tag<T> d;
  if (count == static_cast<int64_t>(hn::Lanes(d))) return hn::StoreU(hn::Add(hn::LoadU(d, to), v), d, to);
  HWY_ALIGN T lanes[kMostLanes];
  hn::Store(v, d, lanes);
  for (int64_t i = 0; i < count; ++i) to[i] += lanes[i];
}

// Terms lie across the lanes, so that no lane is ever added to another: one query against all keys, for the terms
// [term, term + count).
template <typename T>
HWY_INLINE void AddRow(const T* query, const Matrix<const T>& keys, const T* slopes, int64_t term, int64_t count,
                       T* query_gradient, const Matrix<T>& key_gradients, T* w_gradient) {
  const Tag<T> d;
  const auto a = LoadFirst(query + term, count);
  auto to_query = hn::Zero(d);
  auto to_w = hn::Zero(d);
  for (int64_t j = 0; j < keys.rows; ++j) {
    if (slopes[j] == 0) continue;
    const auto slope = hn::Set(d, slopes[j]);
    const auto tanh = TanhAny(d, hn::Add(a, LoadFirst(keys.row(j) + term, count)));
    const auto weighted = hn::Mul(slope, tanh);
    const auto inner = hn::NegMulAdd(weighted, tanh, slope);
    to_w = hn::Add(to_w, weighted);
    to_query = hn::Add(to_query, inner);
    AddFirst(inner, key_gradients.row(j) + term, count);
  }
  AddFirst(to_query, query_gradient + term, count);
  AddFirst(to_w, w_gradient + term, count);
}

template <typename T>
HWY_INLINE void AdditiveBackwardTileT(const Matrix<const T>& queries, const Matrix<const T>& keys,
                                      const Matrix<T>& slopes, const AdditiveTileGradients<T>& gradients) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(Tag<T>()));
  for (int64_t term = 0; term < queries.cols; term += lanes) {
    const int64_t count = std::min(lanes, queries.cols - term);
    for (int64_t i = 0; i < queries.rows; ++i) {
      AddRow(queries.row(i), keys, slopes.row(i), term, count, gradients.queries.row(i), gradients.keys,
             gradients.w_score);
    }
  }
}

void AdditiveBackwardTileF32(const Matrix<const float>& queries, const Matrix<const float>& keys,
                             const Matrix<float>& slopes, const AdditiveTileGradients<float>& gradients) {
  AdditiveBackwardTileT(queries, keys, slopes, gradients);
}
void AdditiveBackwardTileF64(const Matrix<const double>& queries, const Matrix<const double>& keys,
                             const Matrix<double>& slopes, const AdditiveTileGradients<double>& gradients) {
  AdditiveBackwardTileT(queries, keys, slopes, gradients);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(AdditiveBackwardTileF32);
HWY_EXPORT(AdditiveBackwardTileF64);

void AdditiveBackwardTile(const Matrix<const float>& queries, const Matrix<const float>& keys,
                          const Matrix<float>& slopes, const AdditiveTileGradients<float>& gradients) {
  HWY_DYNAMIC_DISPATCH(AdditiveBackwardTileF32)(queries, keys, slopes, gradients);
}
void AdditiveBackwardTile(const Matrix<const double>& queries, const Matrix<const double>& keys,
                          const Matrix<double>& slopes, const AdditiveTileGradients<double>& gradients) {
  HWY_DYNAMIC_DISPATCH(AdditiveBackwardTileF64)(queries, keys, slopes, gradients);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
