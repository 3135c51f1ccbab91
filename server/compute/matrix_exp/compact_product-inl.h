// Products of square matrices that stay in the cache, for Highway code: see entrywise-inl.h for how to include it.
// Unlike a BLAS: nothing is packed, nothing is looked up, rows are padded to whole vectors.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#endif

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "hwy/highway.h"
#include "server/compute/matrix_exp/compact_ahead.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Where products have their factors and leave sums of columns: [rows, n] times [n, n], rows `stride` apart.
template <typename T>
struct CompactShape {
  int64_t rows;
  int64_t n;
  int64_t stride;
  T* sums;              // [stride]
  CompactAhead* ahead;  // goes on while they are formed
};

// Where a matrix goes, times a factor.
template <typename T>
struct CompactOutput {
  T* to;           // at any alignment
  int64_t stride;  // from one row to the next
  T factor;

  template <class D>
  HWY_INLINE void Put(D d, int64_t row, int64_t col, hn::Vec<D> value) const {
    hn::StoreU(hn::Mul(hn::Set(d, factor), value), d, to + row * stride + col);
  }
};

// Whether a sink returns what is to be summed.
template <class D, class Sink>
constexpr bool kIsSummed =
    !std::is_void_v<decltype(std::declval<Sink>()(int64_t{}, int64_t{}, std::declval<hn::Vec<D>>()))>;

// Rows [i, i + kRows) and the kVectors vectors of columns from j on of a b, to `sink` as in CompactProduct.
template <int kRows, int kVectors, class D, class Sink, typename T = hn::TFromD<D>>
HWY_INLINE void ProductBlock(D d, const CompactShape<T>& shape, const T* HWY_RESTRICT a, const T* HWY_RESTRICT b,
                             int64_t i, int64_t j, Sink sink) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t stride = shape.stride;
  a += i * stride;
  b += j;
  hn::Vec<D> sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < shape.n; ++k) {
    hn::Vec<D> row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = hn::Load(d, b + k * stride + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      const auto entry = hn::Set(d, a[r * stride + k]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(entry, row[v], sums[r][v]);
    }
  }
  // Half the lines of a block for each: two matrices in the time of four products.
  shape.ahead->Fetch(kRows * kVectors * sizeof(T) * hn::MaxLanes(d) / 2);
  // Unrolled, for the sums to stay in registers.
  hn::Vec<D> columns[kVectors];
  for (auto& column : columns) column = hn::Zero(d);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kIsSummed<D, Sink>) {
        columns[v] = hn::Add(columns[v], hn::Abs(sink(i + r, j + v * lanes, sums[r][v])));
      } else {
        sink(i + r, j + v * lanes, sums[r][v]);
      }
    }
  }
  if constexpr (kIsSummed<D, Sink>) {
    for (int v = 0; v < kVectors; ++v) {
      T* to = shape.sums + j + v * lanes;
      hn::Store(i == 0 ? columns[v] : hn::Add(hn::Load(d, to), columns[v]), d, to);
    }
  }
}

// Of the largest block: as many rows as the registers hold beside a row of b, 32 of 64 bytes or 16 of 32. Where vectors
// are so long, more than 16 in a block would wait for their sink with no product between them.
#if HWY_TARGET <= HWY_AVX3
constexpr int kBlockRows = 8;
constexpr int kBlockVectors = 2;
#else
constexpr int kBlockRows = 4;
constexpr int kBlockVectors = 3;
#endif

template <int kRows, class D, class Sink, typename T = hn::TFromD<D>>
HWY_INLINE void ProductRows(D d, const CompactShape<T>& shape, const T* a, const T* b, int64_t i, Sink sink) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t j = 0;
  const auto vectors = [&] { return (shape.n - j + lanes - 1) / lanes; };
  if constexpr (kBlockVectors == 3) {
    for (; vectors() == 3 || vectors() > 4; j += 3 * lanes) ProductBlock<kRows, 3>(d, shape, a, b, i, j, sink);
  }
  for (; vectors() >= 2; j += 2 * lanes) ProductBlock<kRows, 2>(d, shape, a, b, i, j, sink);
  if (vectors() == 1) ProductBlock<kRows, 1>(d, shape, a, b, i, j, sink);
}

// Every vector of a b once to sink(row, column, vector): a [rows, n], b [n, n], both with rows `stride` apart, aligned,
// and padded with zeros to whole vectors. After all vectors of some rows done(first row, rows). What they write is
// neither a nor b. The moduli of what `sink` returns, if anything, are summed by columns; returns the largest of these
// sums.
template <class D, class Sink, class Done, typename T = hn::TFromD<D>>
HWY_NOINLINE T CompactProduct(D d, const CompactShape<T>& shape, const T* a, const T* b, Sink sink, Done done) {
  int64_t i = 0;
  for (; i + kBlockRows <= shape.rows; i += kBlockRows) {
    ProductRows<kBlockRows>(d, shape, a, b, i, sink);
    done(i, kBlockRows);
  }
  for (; i + 2 <= shape.rows; i += 2) {
    ProductRows<2>(d, shape, a, b, i, sink);
    done(i, 2);
  }
  if (i < shape.rows) {
    ProductRows<1>(d, shape, a, b, i, sink);
    done(i, 1);
  }
  if constexpr (!kIsSummed<D, Sink>) return 0;
  auto largest = hn::Zero(d);
  for (int64_t j = 0; j < shape.n; j += static_cast<int64_t>(hn::Lanes(d))) {
    largest = hn::Max(largest, hn::Load(d, shape.sums + j));
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

template <class D, class Sink, typename T = hn::TFromD<D>>
HWY_INLINE T CompactProduct(D d, const CompactShape<T>& shape, const T* a, const T* b, Sink sink) {
  return CompactProduct(d, shape, a, b, sink, [](int64_t, int64_t) {});
}

// The same with a [rows, n] in place of a product.
template <class D, class Sink, typename T = hn::TFromD<D>>
HWY_INLINE T CompactPass(D d, const CompactShape<T>& shape, const T* a, Sink sink) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto largest = hn::Zero(d);
  for (int64_t j = 0; j < shape.n; j += lanes) {
    auto column = hn::Zero(d);
    for (int64_t i = 0; i < shape.rows; ++i) {
      column = hn::Add(column, hn::Abs(sink(i, j, hn::Load(d, a + i * shape.stride + j))));
    }
    hn::Store(column, d, shape.sums + j);
    largest = hn::Max(largest, column);
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
