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

#if HWY_TARGET != HWY_SCALAR
// Neighbouring keys whose sums are added up together: as many as there are elements in 128 bits.
template <typename T>
constexpr int64_t kKeysAtOnce = 16 / sizeof(T);

// The sums of the lanes of each of kKeysAtOnce vectors, by halving all of them together: a third of the instructions
// that one after the other takes, so that more of the memory that comes next is asked for meanwhile.
template <class D, class V, typename T>
HWY_INLINE void StoreSumOfBlocks(D d, V blocks, T scale, T* to) {
  if constexpr (hn::MaxLanes(D()) * sizeof(T) > 16) {
    const hn::Half<D> half;
    StoreSumOfBlocks(half, hn::Add(hn::LowerHalf(half, blocks), hn::UpperHalf(half, blocks)), scale, to);
  } else {
    hn::StoreU(hn::Mul(hn::Set(d, scale), blocks), d, to);
  }
}
HWY_INLINE void StoreSums(const hn::Vec<hn::ScalableTag<float>>* sums, float scale, float* to) {
  const hn::ScalableTag<float> d;
  const hn::RepartitionToWide<decltype(d)> wide;
  const auto halve = [&](auto a, auto b) {
    return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  };
  const auto ab = hn::BitCast(wide, halve(sums[0], sums[1]));
  const auto cd = hn::BitCast(wide, halve(sums[2], sums[3]));
  const auto abcd =
      hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, ab, cd)), hn::BitCast(d, hn::InterleaveUpper(wide, ab, cd)));
  StoreSumOfBlocks(d, abcd, scale, to);
}
HWY_INLINE void StoreSums(const hn::Vec<hn::ScalableTag<double>>* sums, double scale, double* to) {
  const hn::ScalableTag<double> d;
  const auto ab = hn::Add(hn::InterleaveLower(d, sums[0], sums[1]), hn::InterleaveUpper(d, sums[0], sums[1]));
  StoreSumOfBlocks(d, ab, scale, to);
}

// scores [kKeysAtOnce] = scale * (q . k), key by key: memory is read in its order.
template <typename T>
HWY_INLINE void ScoreKeys(T scale, const T* q, const T* keys, int64_t stride, int64_t count, T* scores) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t whole = count / lanes * lanes;
  hn::Vec<decltype(d)> sums[kKeysAtOnce<T>];
  for (int64_t j = 0; j < kKeysAtOnce<T>; ++j) {
    sums[j] = hn::Zero(d);
    for (int64_t i = 0; i < whole; i += lanes) {
      sums[j] = hn::MulAdd(hn::LoadU(d, q + i), hn::LoadU(d, keys + j * stride + i), sums[j]);
    }
  }
  StoreSums(sums, scale, scores);
  for (int64_t i = whole; i < count; ++i) {
    for (int64_t j = 0; j < kKeysAtOnce<T>; ++j) scores[j] += scale * q[i] * keys[j * stride + i];
  }
}
#endif  // HWY_TARGET != HWY_SCALAR

// q . k
template <typename T>
HWY_INLINE T DotProduct(const T* q, const T* k, int64_t count) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::MulAdd(hn::LoadU(d, q + i), hn::LoadU(d, k + i), sum);
  T total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) total += q[i] * k[i];
  return total;
}

template <typename T>
HWY_INLINE void ScoresOfFewT(T scale, const Matrix<const T>& queries, const Matrix<const T>& keys,
                             const Matrix<T>& scores) {
  int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
  for (; j + kKeysAtOnce<T> <= keys.rows; j += kKeysAtOnce<T>) {
    for (int64_t r = 0; r < queries.rows; ++r) {
      ScoreKeys(scale, queries.row(r), keys.row(j), keys.stride, keys.cols, scores.row(r) + j);
    }
  }
#endif
  for (; j < keys.rows; ++j) {
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
