// Products of square matrices that stay in the cache, for Highway code: see entrywise-inl.h for how to include it.
// Unlike a BLAS: nothing is packed, nothing is looked up, rows are padded to whole vectors.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_PRODUCT_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kRows rows and kVectors vectors of columns of c = a b, or c += a b with kAdd; a, b and c point at the block's own
// rows and columns.
template <bool kAdd, int kRows, int kVectors, class D, typename T = hn::TFromD<D>>
HWY_INLINE void ProductBlock(D d, int64_t n, int64_t stride, const T* HWY_RESTRICT a, const T* HWY_RESTRICT b,
                             T* HWY_RESTRICT c) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  hn::Vec<D> sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::Zero(d);
  }
  for (int64_t k = 0; k < n; ++k) {
    hn::Vec<D> row[kVectors];
    for (int v = 0; v < kVectors; ++v) row[v] = hn::Load(d, b + k * stride + v * lanes);
    for (int r = 0; r < kRows; ++r) {
      const auto entry = hn::Set(d, a[r * stride + k]);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MulAdd(entry, row[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      T* to = c + r * stride + v * lanes;
      hn::Store(kAdd ? hn::Add(hn::Load(d, to), sums[r][v]) : sums[r][v], d, to);
    }
  }
}

// As many rows as the registers hold beside a row of b: 32 of 64 bytes, or 16 of 32.
#if HWY_TARGET <= HWY_AVX3
constexpr int kBlockRows = 8;
#else
constexpr int kBlockRows = 4;
#endif

template <bool kAdd, int kVectors, class D, typename T = hn::TFromD<D>>
HWY_INLINE void ProductColumns(D d, int64_t rows, int64_t n, int64_t stride, const T* a, const T* b, T* c) {
  int64_t i = 0;
  for (; i + kBlockRows <= rows; i += kBlockRows) {
    ProductBlock<kAdd, kBlockRows, kVectors>(d, n, stride, a + i * stride, b, c + i * stride);
  }
  for (; i + 2 <= rows; i += 2) ProductBlock<kAdd, 2, kVectors>(d, n, stride, a + i * stride, b, c + i * stride);
  if (i < rows) ProductBlock<kAdd, 1, kVectors>(d, n, stride, a + i * stride, b, c + i * stride);
}

// c = a b, or c += a b with kAdd: a and c [rows, n], b [n, n], all with rows `stride` apart, aligned, and padded with
// zeros to whole vectors. c is neither a nor b.
template <bool kAdd, class D, typename T = hn::TFromD<D>>
HWY_NOINLINE void CompactProduct(D d, int64_t rows, int64_t n, int64_t stride, const T* a, const T* b, T* c) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t vectors = (n + lanes - 1) / lanes;
  int64_t v = 0;
  for (; v + 3 <= vectors && vectors - v != 4; v += 3)
    ProductColumns<kAdd, 3>(d, rows, n, stride, a, b + v * lanes, c + v * lanes);
  for (; v + 2 <= vectors; v += 2) ProductColumns<kAdd, 2>(d, rows, n, stride, a, b + v * lanes, c + v * lanes);
  if (v < vectors) ProductColumns<kAdd, 1>(d, rows, n, stride, a, b + v * lanes, c + v * lanes);
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
