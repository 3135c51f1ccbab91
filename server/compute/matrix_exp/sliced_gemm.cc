#include "server/compute/matrix_exp/sliced_gemm.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/parallel_gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/matrix_exp/sliced_gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which it needs.
#include "server/compute/matrix_exp/pair-inl.h"

#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SLICED_GEMM_ROW_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SLICED_GEMM_ROW_
namespace attend::compute {

// One row of c on its way: the sums of the three products in c, and what is still to be added.
struct SlicedRow {
  int64_t n = 0;
  DoubleDouble a_diagonal;       // a_ii
  const double* a_hi = nullptr;  // row i of a
  const double* a_lo = nullptr;
  const double* b_hi = nullptr;  // row i of b
  const double* b_lo = nullptr;
  const double* b_diagonal_hi = nullptr;  // b_jj
  const double* b_diagonal_lo = nullptr;
  const double* least = nullptr;  // c_ij from which on it is accurate enough, over row_scale
  double row_scale = 0;
  double* c_hi = nullptr;
  double* c_lo = nullptr;
};

}  // namespace attend::compute
#endif

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// c_ij += a_ii b_ij + a_ij b_jj; good[j / lanes] says whether this vector of entries is accurate enough. The entry on
// the diagonal is wrong here.
void FinishRow(const SlicedRow& row, bool* good) {
  const PairTag tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const PairVec a_hi = hn::Set(tag, row.a_diagonal.hi);
  const PairVec a_lo = hn::Set(tag, row.a_diagonal.lo);
  const PairVec scale = hn::Set(tag, row.row_scale);
  const PairVec least = hn::Set(tag, 1e-250);  // below, products of the slices may have underflown
  for (int64_t j = 0; j + lanes <= row.n; j += lanes) {
    PairVec hi = hn::LoadU(tag, row.c_hi + j);
    PairVec lo = hn::LoadU(tag, row.c_lo + j);
    Accumulate(a_hi, a_lo, hn::LoadU(tag, row.b_hi + j), hn::LoadU(tag, row.b_lo + j), hi, lo);
    Accumulate(hn::LoadU(tag, row.a_hi + j), hn::LoadU(tag, row.a_lo + j), hn::LoadU(tag, row.b_diagonal_hi + j),
               hn::LoadU(tag, row.b_diagonal_lo + j), hi, lo);
    Renormalize(hi, lo);
    hn::StoreU(hi, tag, row.c_hi + j);
    hn::StoreU(lo, tag, row.c_lo + j);
    good[j / lanes] = hn::AllTrue(tag, hn::Ge(hi, hn::MulAdd(scale, hn::LoadU(tag, row.least + j), least)));
  }
}

int64_t PairLanes() { return static_cast<int64_t>(hn::Lanes(PairTag())); }

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(FinishRow);
HWY_EXPORT(PairLanes);

namespace {

constexpr int64_t kTileRows = 8;
// The least tolerance that three products are tried for, and the smallest matrix that they are quicker for.
constexpr double kLeastTolerance = 0x1p-74;
constexpr int64_t kLeastSize = 48;

// Leading bits of every entry: sums of n products of two such numbers are exact in double.
int LeadingBits(int64_t n) {
  int log_n = 0;
  while ((int64_t{1} << log_n) < n) ++log_n;
  return (53 - log_n) / 2;
}

// The power of two above every entry of a line, or 0 for a line of zeros.
double AboveOf(double largest) {
  if (largest <= 0) return 0;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, exponent);
}

class Slices {
 public:
  Slices(runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b)
      : n_(n),
        bits_(LeadingBits(n)),
        a_(a),
        b_(b),
        rows_(static_cast<size_t>(n)),
        columns_(rows_),
        a_diagonal_(rows_.size()) {
    for (runtime::Buffer& buffer : memory_) buffer = pool.AllocateArray<double>(static_cast<size_t>(n * n));
    FindLargest();
  }

  // Where most entries are zero, so may be many of the product, and those are never accurate enough.
  bool IsPromising() const { return zeros_ < n_ * (n_ - 1); }

  absl::Status Multiply(runtime::Executor& executor, PairPlanes c) {
    Split(
        a_, [&](int64_t i, int64_t j) { return rows_[static_cast<size_t>(i)]; }, slice(0), slice(1));
    Split(
        b_, [&](int64_t i, int64_t j) { return columns_[static_cast<size_t>(j)]; }, slice(2), slice(3));
    const Matrix<double> hi(c.hi, n_, n_);
    const Matrix<double> lo(c.lo, n_, n_);
    if (auto done = Gemm(executor, 0, 2, 0.0, hi); !done.ok()) return done;
    if (auto done = Gemm(executor, 0, 3, 0.0, lo); !done.ok()) return done;
    for (int64_t k = 0; k < n_ * n_; ++k) slice(2)[k] += slice(3)[k];
    return Gemm(executor, 1, 2, 1.0, lo);
  }

  // Adds what the diagonals carry, and computes again what is not accurate enough.
  // `redone`: the share of entries.
  absl::Status Finish(runtime::Executor& executor, runtime::BufferPool& pool, PairPlanes c, double tolerance,
                      double& redone);

 private:
  double* slice(size_t k) const { return memory_[k].as<double>(); }

  absl::Status Gemm(runtime::Executor& executor, size_t a, size_t b, double beta, const Matrix<double>& c) const {
    return ParallelGemm(executor, 1.0, Operand<double>(slice(a), n_, n_, n_), Operand<double>(slice(b), n_, n_, n_),
                        beta, c);
  }

  void FindLargest() {
    for (int64_t i = 0; i < n_; ++i) {
      double row = 0;
      for (int64_t j = 0; j < n_; ++j) {
        if (i == j) continue;
        const double a = a_.hi[i * n_ + j];
        const double b = b_.hi[i * n_ + j];
        row = std::max(row, a);
        columns_[static_cast<size_t>(j)] = std::max(columns_[static_cast<size_t>(j)], b);
        zeros_ += (a == 0) + (b == 0);
      }
      rows_[static_cast<size_t>(i)] = AboveOf(row);
      a_diagonal_[static_cast<size_t>(i)] = {a_.hi[i * n_ + i], a_.lo[i * n_ + i]};
    }
    for (double& column : columns_) column = AboveOf(column);
  }

  // leading: every entry rounded to bits_ below scale(i, j); rest: what is left, without the diagonal.
  template <typename Scale>
  void Split(PairPlanes from, const Scale& scale, double* leading, double* rest) const {
    const double shift = std::ldexp(1.5, 52 - bits_);
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = 0; j < n_; ++j) {
        const int64_t k = i * n_ + j;
        const double rounder = shift * scale(i, j);
        leading[k] = (from.hi[k] + rounder) - rounder;
        rest[k] = (from.hi[k] - leading[k]) + from.lo[k];
      }
      leading[i * n_ + i] = rest[i * n_ + i] = 0;
    }
  }

  void FinishDiagonal(int64_t i, DoubleDouble sum, PairPlanes c) const {
    const int64_t k = i * n_ + i;
    const DoubleDouble entry = sum + a_diagonal_[static_cast<size_t>(i)] * DoubleDouble{b_.hi[k], b_.lo[k]};
    c.hi[k] = entry.hi;
    c.lo[k] = entry.lo;
  }

  const int64_t n_;
  const int bits_;
  const PairPlanes a_;
  const PairPlanes b_;
  std::vector<double> rows_;     // above a's rows, without the diagonal
  std::vector<double> columns_;  // above b's columns
  std::vector<DoubleDouble> a_diagonal_;
  int64_t zeros_ = 0;
  runtime::Buffer memory_[4];  // the slices of a and b
};

absl::Status Slices::Finish(runtime::Executor& executor, runtime::BufferPool& pool, PairPlanes c, double tolerance,
                            double& redone) {
  const int64_t lanes = HWY_DYNAMIC_DISPATCH(PairLanes)();
  // Each of 2 n terms of the second sum rounds, and so do its running sums; 2^-bits of the rows and columns each.
  const double error = 4 * static_cast<double>(n_) * std::ldexp(1.0, -53 - bits_);
  std::vector<double> least(columns_), diagonal_hi(columns_.size()), diagonal_lo(columns_.size());
  for (int64_t j = 0; j < n_; ++j) {
    diagonal_hi[static_cast<size_t>(j)] = b_.hi[j * n_ + j];
    diagonal_lo[static_cast<size_t>(j)] = b_.lo[j * n_ + j];
  }
  const auto finish_row = [&](int64_t i, bool* good) {
    SlicedRow row;
    row.n = n_;
    row.a_diagonal = a_diagonal_[static_cast<size_t>(i)];
    row.a_hi = a_.hi + i * n_;
    row.a_lo = a_.lo + i * n_;
    row.b_hi = b_.hi + i * n_;
    row.b_lo = b_.lo + i * n_;
    row.b_diagonal_hi = diagonal_hi.data();
    row.b_diagonal_lo = diagonal_lo.data();
    row.least = least.data();
    row.row_scale = rows_[static_cast<size_t>(i)] * error / tolerance;
    row.c_hi = c.hi + i * n_;
    row.c_lo = c.lo + i * n_;
    const DoubleDouble on_diagonal = DoubleDouble{row.c_hi[i], 0} + row.c_lo[i];
    HWY_DYNAMIC_DISPATCH(FinishRow)(row, good);
    FinishDiagonal(i, on_diagonal, c);
    // A diagonal of one large term is accurate where its neighbours are or not.
    good[i / lanes] = good[i / lanes] && c.hi[i * n_ + i] >= row.row_scale * least[static_cast<size_t>(i)];
  };
  const int64_t vectors = (n_ + lanes - 1) / lanes;
  const int64_t tiles = (n_ + kTileRows - 1) / kTileRows;
  std::atomic<int64_t> redone_vectors = 0;
  const absl::Status done =
      executor.ForEachTile(tiles, 64.0 * static_cast<double>(kTileRows * n_), [&](int64_t tile, int worker) {
        const int64_t begin = tile * kTileRows;
        const int64_t rows = std::min(kTileRows, n_ - begin);
        // Vectors of columns in which some row is not accurate enough; the last, incomplete one is always done anew.
        std::vector<char> bad(static_cast<size_t>(vectors));
        std::vector<char> good_memory(static_cast<size_t>(vectors));
        bool* good = reinterpret_cast<bool*>(good_memory.data());
        for (int64_t i = begin; i < begin + rows; ++i) {
          std::fill_n(good, vectors, false);
          finish_row(i, good);
          for (int64_t v = 0; v < vectors; ++v) bad[static_cast<size_t>(v)] |= !good[v];
        }
        for (int64_t v = 0; v < vectors; ++v) {
          if (!bad[static_cast<size_t>(v)]) continue;
          ++redone_vectors;
          PairBlock(pool, n_, a_, b_, c, {begin, rows, v * lanes, std::min(lanes, n_ - v * lanes)});
        }
        return absl::OkStatus();
      });
  redone = static_cast<double>(redone_vectors) / static_cast<double>(vectors * tiles);
  return done;
}

}  // namespace

absl::Status SlicedGemm(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b,
                        PairPlanes c, PairAccuracy& accuracy) {
  constexpr int kSkip = 4;
  const bool skip = accuracy.skip > 0;
  if (skip) --accuracy.skip;
  if (skip || accuracy.tolerance < kLeastTolerance || n < kLeastSize) return PairGemm(executor, pool, n, a, b, c);
  Slices slices(pool, n, a, b);
  if (!slices.IsPromising()) return PairGemm(executor, pool, n, a, b, c);
  if (auto done = slices.Multiply(executor, c); !done.ok()) return done;
  double redone = 0;
  const absl::Status done = slices.Finish(executor, pool, c, accuracy.tolerance, redone);
  if (redone > 0.5) accuracy.skip = kSkip;
  return done;
}

}  // namespace attend::compute
#endif  // HWY_ONCE
