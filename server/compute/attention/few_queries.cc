#include "server/compute/attention/few_queries.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/few_queries.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Values that stay in the first-level cache while their columns are passed over; vectors of output held in registers.
constexpr int64_t kValuesAtOnce = 32;
constexpr int64_t kVectorsAtOnce = 8;

// q . k. Memory is read in its order; the sums of neighbouring keys overlap by themselves.
template <typename T>
HWY_INLINE T DotProduct(const T* q, const T* k, int64_t count) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    even = hn::MulAdd(hn::LoadU(d, q + i), hn::LoadU(d, k + i), even);
    odd = hn::MulAdd(hn::LoadU(d, q + i + lanes), hn::LoadU(d, k + i + lanes), odd);
  }
  T sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < count; ++i) sum += q[i] * k[i];
  return sum;
}

template <typename T>
HWY_INLINE void ScoresOfFewT(T scale, const Matrix<const T>& queries, const Matrix<const T>& keys,
                             const Matrix<T>& scores) {
  for (int64_t j = 0; j < keys.rows; ++j) {
    for (int64_t r = 0; r < queries.rows; ++r) {
      scores.row(r)[j] = scale * DotProduct(queries.row(r), keys.row(j), keys.cols);
    }
  }
}

// output [kVectors vectors] += weights [count] . values
template <int64_t kVectors, typename T>
HWY_INLINE void AddColumns(const T* weights, const T* values, int64_t stride, int64_t count, T* output) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<decltype(d)> sums[kVectors];
  for (int64_t v = 0; v < kVectors; ++v) sums[v] = hn::LoadU(d, output + v * lanes);
  for (int64_t j = 0; j < count; ++j) {
    const auto weight = hn::Set(d, weights[j]);
    for (int64_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(weight, hn::LoadU(d, values + j * stride + v * lanes), sums[v]);
    }
  }
  for (int64_t v = 0; v < kVectors; ++v) hn::StoreU(sums[v], d, output + v * lanes);
}

template <typename T>
HWY_INLINE void AddValuesToRow(const T* weights, const T* values, int64_t stride, int64_t count, int64_t columns,
                               T* output) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(hn::ScalableTag<T>()));
  int64_t c = 0;
  for (; c + kVectorsAtOnce * lanes <= columns; c += kVectorsAtOnce * lanes) {
    AddColumns<kVectorsAtOnce>(weights, values + c, stride, count, output + c);
  }
  for (; c + lanes <= columns; c += lanes) AddColumns<1>(weights, values + c, stride, count, output + c);
  for (; c < columns; ++c) {
    for (int64_t j = 0; j < count; ++j) output[c] += weights[j] * values[j * stride + c];
  }
}

template <typename T>
HWY_INLINE void AddValuesToFewT(const Matrix<const T>& weights, const Matrix<const T>& values,
                                const Matrix<T>& output) {
  for (int64_t j = 0; j < values.rows; j += kValuesAtOnce) {
    const int64_t count = std::min(kValuesAtOnce, values.rows - j);
    for (int64_t r = 0; r < weights.rows; ++r) {
      AddValuesToRow(weights.row(r) + j, values.row(j), values.stride, count, values.cols, output.row(r));
    }
  }
}

void ScoresOfFewF32(float scale, const Matrix<const float>& queries, const Matrix<const float>& keys,
                    const Matrix<float>& scores) {
  ScoresOfFewT(scale, queries, keys, scores);
}
void ScoresOfFewF64(double scale, const Matrix<const double>& queries, const Matrix<const double>& keys,
                    const Matrix<double>& scores) {
  ScoresOfFewT(scale, queries, keys, scores);
}
void AddValuesToFewF32(const Matrix<const float>& weights, const Matrix<const float>& values,
                       const Matrix<float>& output) {
  AddValuesToFewT(weights, values, output);
}
void AddValuesToFewF64(const Matrix<const double>& weights, const Matrix<const double>& values,
                       const Matrix<double>& output) {
  AddValuesToFewT(weights, values, output);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(ScoresOfFewF32);
HWY_EXPORT(ScoresOfFewF64);
HWY_EXPORT(AddValuesToFewF32);
HWY_EXPORT(AddValuesToFewF64);

void ScoresOfFew(float scale, const Matrix<const float>& queries, const Matrix<const float>& keys,
                 const Matrix<float>& scores) {
  HWY_DYNAMIC_DISPATCH(ScoresOfFewF32)(scale, queries, keys, scores);
}
void ScoresOfFew(double scale, const Matrix<const double>& queries, const Matrix<const double>& keys,
                 const Matrix<double>& scores) {
  HWY_DYNAMIC_DISPATCH(ScoresOfFewF64)(scale, queries, keys, scores);
}
void AddValuesToFew(const Matrix<const float>& weights, const Matrix<const float>& values,
                    const Matrix<float>& output) {
  HWY_DYNAMIC_DISPATCH(AddValuesToFewF32)(weights, values, output);
}
void AddValuesToFew(const Matrix<const double>& weights, const Matrix<const double>& values,
                    const Matrix<double>& output) {
  HWY_DYNAMIC_DISPATCH(AddValuesToFewF64)(weights, values, output);
}

}  // namespace attend::compute
#endif  // HWY_ONCE
