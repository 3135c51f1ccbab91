#include "server/compute/matrix_exp/pair_gemm.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/pair_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_GEMM_LANES_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_GEMM_LANES_
namespace attend::compute {
inline constexpr int kMaxLanes = 8;  // this file is compiled once for each instruction set; all agree on the scratch
}
#endif

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<double, kMaxLanes>;
using Vec = hn::Vec<Tag>;

// The rounding error of `product` = fl(a b).
HWY_INLINE Vec ProductError(Vec a, Vec b, Vec product) {
#if HWY_NATIVE_FMA
  return hn::MulSub(a, b, product);
#else
  // Halves of 26 bits, whose products are exact.
  const Tag tag;
  const Vec splitter = hn::Set(tag, 134217729.0);
  const Vec a_scaled = hn::Mul(splitter, a);
  const Vec a_high = hn::Sub(a_scaled, hn::Sub(a_scaled, a));
  const Vec a_low = hn::Sub(a, a_high);
  const Vec b_scaled = hn::Mul(splitter, b);
  const Vec b_high = hn::Sub(b_scaled, hn::Sub(b_scaled, b));
  const Vec b_low = hn::Sub(b, b_high);
  const Vec cross = hn::Add(hn::Mul(a_high, b_low), hn::Mul(a_low, b_high));
  return hn::Add(hn::Add(hn::Sub(hn::Mul(a_high, b_high), product), cross), hn::Mul(a_low, b_low));
#endif
}

// hi + lo += (a_hi + a_lo) (b_hi + b_lo).
HWY_INLINE void Accumulate(Vec a_hi, Vec a_lo, Vec b_hi, Vec b_lo, Vec& hi, Vec& lo) {
  const Vec product = hn::Mul(a_hi, b_hi);
  const Vec product_error = ProductError(a_hi, b_hi, product);
  const Vec sum = hn::Add(hi, product);
  const Vec part = hn::Sub(sum, hi);
  const Vec sum_error = hn::Add(hn::Sub(hi, hn::Sub(sum, part)), hn::Sub(product, part));
  const Vec cross = hn::MulAdd(a_hi, b_lo, hn::MulAdd(a_lo, b_hi, hn::Add(product_error, sum_error)));
  hi = sum;
  lo = hn::Add(lo, cross);
}

// kRows rows of c from as many of a and one packed panel of b [n, lanes].
template <int kRows>
void RowsTimesPanel(int64_t n, const double* a_hi, const double* a_lo, const double* panel_hi, const double* panel_lo,
                    double* c_hi, double* c_lo, int64_t width) {
  const Tag tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  Vec hi[kRows];
  Vec lo[kRows];
  for (int r = 0; r < kRows; ++r) hi[r] = lo[r] = hn::Zero(tag);
  for (int64_t k = 0; k < n; ++k) {
    const Vec b_hi = hn::LoadU(tag, panel_hi + k * lanes);
    const Vec b_lo = hn::LoadU(tag, panel_lo + k * lanes);
    for (int r = 0; r < kRows; ++r) {
      Accumulate(hn::Set(tag, a_hi[r * n + k]), hn::Set(tag, a_lo[r * n + k]), b_hi, b_lo, hi[r], lo[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    HWY_ALIGN double sum[kMaxLanes];
    HWY_ALIGN double rest[kMaxLanes];
    const Vec total = hn::Add(hi[r], lo[r]);
    hn::Store(total, tag, sum);
    hn::Store(hn::Sub(lo[r], hn::Sub(total, hi[r])), tag, rest);
    std::copy_n(sum, width, c_hi + r * n);
    std::copy_n(rest, width, c_lo + r * n);
  }
}

void PackPanel(int64_t n, const double* b, int64_t width, int64_t lanes, double* panel) {
  for (int64_t k = 0; k < n; ++k) {
    std::copy_n(b + k * n, width, panel + k * lanes);
    std::fill_n(panel + k * lanes + width, lanes - width, 0.0);
  }
}

// Columns [col, col + cols) of rows [row, row + rows) of c. `scratch`: two panels.
void PairTile(int64_t n, PairPlanes a, PairPlanes b, PairPlanes c, int64_t row, int64_t rows, int64_t col, int64_t cols,
              double* scratch) {
  const Tag tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  double* panel_hi = scratch;
  double* panel_lo = scratch + n * lanes;
  for (int64_t j = col; j < col + cols; j += lanes) {
    const int64_t width = std::min(lanes, col + cols - j);
    PackPanel(n, b.hi + j, width, lanes, panel_hi);
    PackPanel(n, b.lo + j, width, lanes, panel_lo);
    int64_t i = row;
    for (; i + 4 <= row + rows; i += 4) {
      RowsTimesPanel<4>(n, a.hi + i * n, a.lo + i * n, panel_hi, panel_lo, c.hi + i * n + j, c.lo + i * n + j, width);
    }
    for (; i < row + rows; ++i) {
      RowsTimesPanel<1>(n, a.hi + i * n, a.lo + i * n, panel_hi, panel_lo, c.hi + i * n + j, c.lo + i * n + j, width);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(PairTile);

absl::Status PairGemm(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b,
                      PairPlanes c) {
  constexpr int64_t kTileRows = 128;
  constexpr int64_t kTileCols = 64;
  constexpr double kFlopsPerTerm = 24;
  const int64_t row_tiles = (n + kTileRows - 1) / kTileRows;
  const int64_t col_tiles = (n + kTileCols - 1) / kTileCols;
  const double tile_flops = kFlopsPerTerm * static_cast<double>(std::min(n, kTileRows)) *
                            static_cast<double>(std::min(n, kTileCols)) * static_cast<double>(n);
  return executor.ForEachTile(row_tiles * col_tiles, tile_flops, [&](int64_t index, int worker) {
    const int64_t row = index / col_tiles * kTileRows;
    const int64_t col = index % col_tiles * kTileCols;
    const runtime::Buffer scratch = pool.AllocateArray<double>(static_cast<size_t>(2 * n * kMaxLanes));
    HWY_DYNAMIC_DISPATCH(PairTile)
    (n, a, b, c, row, std::min(kTileRows, n - row), col, std::min(kTileCols, n - col), scratch.as<double>());
    return absl::OkStatus();
  });
}

}  // namespace attend::compute
#endif  // HWY_ONCE
