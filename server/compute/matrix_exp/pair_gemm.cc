#include "server/compute/matrix_exp/pair_gemm.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/pair_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// After highway.h, which it needs.
#include "server/compute/matrix_exp/pair-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// kRows rows of c from as many of a and one packed panel of b [n, lanes].
template <int kRows>
void RowsTimesPanel(int64_t n, const double* a_hi, const double* a_lo, const double* panel_hi, const double* panel_lo,
                    double* c_hi, double* c_lo, int64_t width) {
  const PairTag tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  PairVec hi[kRows];
  PairVec lo[kRows];
  for (int r = 0; r < kRows; ++r) hi[r] = lo[r] = hn::Zero(tag);
  for (int64_t k = 0; k < n; ++k) {
    const PairVec b_hi = hn::LoadU(tag, panel_hi + k * lanes);
    const PairVec b_lo = hn::LoadU(tag, panel_lo + k * lanes);
    for (int r = 0; r < kRows; ++r) {
      Accumulate(hn::Set(tag, a_hi[r * n + k]), hn::Set(tag, a_lo[r * n + k]), b_hi, b_lo, hi[r], lo[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    HWY_ALIGN double sum[kMaxPairLanes];
    HWY_ALIGN double rest[kMaxPairLanes];
    Renormalize(hi[r], lo[r]);
    hn::Store(hi[r], tag, sum);
    hn::Store(lo[r], tag, rest);
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
  const PairTag tag;
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

// This file is compiled once for each instruction set; all agree on the scratch.
constexpr int64_t kMostLanes = 8;
constexpr int64_t kTileRows = 128;
constexpr int64_t kTileCols = 64;

void PairBlock(runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b, PairPlanes c, const PairRange& range) {
  const runtime::Buffer scratch = pool.AllocateArray<double>(static_cast<size_t>(2 * n * kMostLanes));
  HWY_DYNAMIC_DISPATCH(PairTile)
  (n, a, b, c, range.row, range.rows, range.col, range.cols, scratch.as<double>());
}

absl::Status PairGemm(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b,
                      PairPlanes c) {
  constexpr double kFlopsPerTerm = 24;
  const int64_t row_tiles = (n + kTileRows - 1) / kTileRows;
  const int64_t col_tiles = (n + kTileCols - 1) / kTileCols;
  const double tile_flops = kFlopsPerTerm * static_cast<double>(std::min(n, kTileRows)) *
                            static_cast<double>(std::min(n, kTileCols)) * static_cast<double>(n);
  return executor.ForEachTile(row_tiles * col_tiles, tile_flops, [&](int64_t index, int worker) {
    const int64_t row = index / col_tiles * kTileRows;
    const int64_t col = index % col_tiles * kTileCols;
    PairBlock(pool, n, a, b, c, {row, std::min(kTileRows, n - row), col, std::min(kTileCols, n - col)});
    return absl::OkStatus();
  });
}

}  // namespace attend::compute
#endif  // HWY_ONCE
