// Products of packed rows (packed_matrix.h) with a panel of columns, double. Include it after hwy/highway.h in a file
// that foreach_target.h compiles repeatedly.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_PRODUCT_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_PRODUCT_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_PRODUCT_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/matrix_exp/column_panels.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using PackedTag = hn::CappedTag<double, 8>;
using PackedVector = hn::Vec<PackedTag>;
constexpr int kPackedLanes = static_cast<int>(hn::MaxLanes(PackedTag()));

// A block's sums fill the registers beside what feeds them.
constexpr int kBlockRows = HWY_TARGET <= HWY_AVX3 ? 12 : 6;
constexpr int kBlockVectors = 2;
static_assert(kPackedRows % kBlockRows == 0 && kPackedRows % kPackedLanes == 0);

// To the second cache: the nearest holds what is multiplied now.
HWY_INLINE void PrefetchLater(const double* from) { __builtin_prefetch(from, 0, 2); }

// `next`: what is multiplied after a, as long. sums [kBlockRows, kVecs vectors] += a b over `count` terms, a [count,
// kPackedRows] and b [count, width] packed; with `first` they are what is added to 0. Not inlined, so that all
// registers are its own.
template <int kVecs>
HWY_NOINLINE void AddBlock(const double* HWY_RESTRICT a, const double* HWY_RESTRICT next, const double* HWY_RESTRICT b,
                           int64_t width, int64_t count, bool first, double* HWY_RESTRICT sums) {
  const PackedTag d;
  PackedVector sum[kBlockRows][kVecs];
#pragma GCC unroll 12
  for (int i = 0; i < kBlockRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      sum[i][v] = first ? hn::Zero(d) : hn::LoadU(d, sums + i * width + v * kPackedLanes);
    }
  }
  for (int64_t k = 0; k < count; ++k, a += kPackedRows, next += kPackedRows, b += width) {
    PrefetchLater(next);
    if (kBlockRows > 8) PrefetchLater(next + kBlockRows - 1);
    PackedVector right[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) right[v] = hn::LoadU(d, b + v * kPackedLanes);
#pragma GCC unroll 12
    for (int i = 0; i < kBlockRows; ++i) {
      const PackedVector left = hn::Set(d, a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) sum[i][v] = hn::MulAdd(left, right[v], sum[i][v]);
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kBlockRows; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sum[i][v], d, sums + i * width + v * kPackedLanes);
  }
}

// The same for kPackedRows rows and all columns of a panel of 8 or 16.
template <int kWidth>
HWY_INLINE void AddWide(const double* a, const double* next, const double* b, int64_t count, bool first, double* sums) {
  constexpr int kVecs = kWidth / kPackedLanes < kBlockVectors ? kWidth / kPackedLanes : kBlockVectors;
  for (int column = 0; column < kWidth; column += kVecs * kPackedLanes) {
    for (int row = 0; row < kPackedRows; row += kBlockRows) {
      AddBlock<kVecs>(a + row, next + row, b + column, kWidth, count, first, sums + row * kWidth + column);
    }
  }
}

// The same for few columns: rows in the lanes, so that every entry of a is loaded once in whole vectors, and as many
// sums at once as hide the latency of the additions: `kSplits` for each entry, added at the end.
template <int kColumns>
HWY_NOINLINE void AddNarrow(const double* HWY_RESTRICT a, const double* HWY_RESTRICT b, int64_t count, bool first,
                            double* HWY_RESTRICT sums) {
  constexpr int kSums = 12;
  constexpr int kAllVectors = kPackedRows / kPackedLanes;
  constexpr int kWanted = kSums / kColumns < kAllVectors ? kSums / kColumns : kAllVectors;
  constexpr int kVecs = kAllVectors % kWanted == 0 ? kWanted : kWanted - 1;
  static_assert(kAllVectors % kVecs == 0);
  constexpr int kSplits = kSums / (kVecs * kColumns);
  const PackedTag d;
  for (int64_t row = 0; row < kPackedRows; row += kVecs * kPackedLanes) {
    PackedVector sum[kSplits][kVecs][kColumns];
#pragma GCC unroll 4
    for (int s = 0; s < kSplits; ++s) {
#pragma GCC unroll 12
      for (int v = 0; v < kVecs; ++v) {
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) sum[s][v][j] = hn::Zero(d);
      }
    }
    const auto add = [&](int64_t k, int s) HWY_ATTR {
      PackedVector right[kColumns];
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) right[j] = hn::Set(d, b[k * kColumns + j]);
#pragma GCC unroll 12
      for (int v = 0; v < kVecs; ++v) {
        const PackedVector left = hn::LoadU(d, a + k * kPackedRows + row + v * kPackedLanes);
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) sum[s][v][j] = hn::MulAdd(left, right[j], sum[s][v][j]);
      }
    };
    int64_t k = 0;
    for (; k + kSplits <= count; k += kSplits) {
#pragma GCC unroll 4
      for (int s = 0; s < kSplits; ++s) add(k + s, s);
    }
    for (; k < count; ++k) add(k, 0);
#pragma GCC unroll 12
    for (int v = 0; v < kVecs; ++v) {
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
#pragma GCC unroll 4
        for (int s = 1; s < kSplits; ++s) sum[0][v][j] = hn::Add(sum[0][v][j], sum[s][v][j]);
        HWY_ALIGN double lanes[kPackedLanes];
        hn::Store(sum[0][v][j], d, lanes);
        double* to = sums + (row + v * kPackedLanes) * kColumns + j;
        for (int lane = 0; lane < kPackedLanes; ++lane) {
          to[lane * kColumns] = first ? lanes[lane] : to[lane * kColumns] + lanes[lane];
        }
      }
    }
  }
}

void AddPackedRows(const double* a, const double* next, const double* b, int64_t width, int64_t count, bool first,
                   double* sums) {
  switch (width) {
    case 16:
      return AddWide<16>(a, next, b, count, first, sums);
    case 8:
      return AddWide<8>(a, next, b, count, first, sums);
    case 4:
      return AddNarrow<4>(a, b, count, first, sums);
    case 3:
      return AddNarrow<3>(a, b, count, first, sums);
    case 2:
      return AddNarrow<2>(a, b, count, first, sums);
    default:
      return AddNarrow<1>(a, b, count, first, sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PACKED_PRODUCT_INL_H_
