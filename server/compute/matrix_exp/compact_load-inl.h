// A matrix made ready for products, for Highway code: see entrywise-inl.h for how to include it.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LOAD_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LOAD_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LOAD_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/matrix_exp/double_double.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A [n, n] as CompactProduct takes it. Its sums first leave the diagonal out: what is left of a column beside a large
// diagonal would drown.
template <class D>
class CompactLoad {
  using T = hn::TFromD<D>;

 public:
  // to: memory for the matrix, rows `stride` apart; sums: for 3 rows, the first of which stays the columns' sums.
  CompactLoad(int64_t n, int64_t stride, const T* a, T* to, T* sums)
      : n_(n), stride_(stride), to_(to), columns_(sums), rows_(columns_ + stride), diagonal_(rows_ + stride) {
    int64_t i = 0;
    for (; i + 4 <= n_; i += 4) CopyRows<4>(a, i);
    for (; i < n_; ++i) CopyRows<1>(a, i);
  }

  T MeanDiagonal() const {
    T sum = 0;
    for (int64_t i = 0; i < n_; ++i) sum += diagonal_[i];
    return sum / static_cast<T>(n_);
  }

  // |A - shift I|_1.
  double Norm(T shift) const {
    const D d;
    auto largest = hn::Zero(d);
    for (int64_t j = 0; j < n_; j += static_cast<int64_t>(hn::Lanes(d))) {
      const auto entries = hn::Abs(hn::Sub(hn::Load(d, diagonal_ + j), hn::Set(d, shift)));
      const auto sums = hn::Add(hn::Load(d, columns_ + j), entries);
      largest = hn::Max(largest, hn::IfThenElseZero(hn::FirstN(d, static_cast<size_t>(n_ - j)), sums));
    }
    return static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, largest)));
  }

  // Whether a row and its column differ enough for balancing to pay (balance.cc).
  bool IsUnbalanced() const {
    constexpr T kWorthwhile = 16;
    T diagonal = 0;
    for (int64_t i = 0; i < n_; ++i) diagonal = std::max(diagonal, std::fabs(diagonal_[i]));
    for (int64_t i = 0; i < n_; ++i) {
      const T more = std::max(rows_[i], columns_[i]);
      const T less = std::min(rows_[i], columns_[i]);
      if (more > kWorthwhile * (less > 0 ? less : std::min(more, diagonal)) && (less > 0 || diagonal > 0)) return true;
    }
    return false;
  }

  // Makes the matrix A - shift I, and the columns' sums those of it. Returns what its entries are rounded by, at most.
  double Finish(T shift) {
    for (int64_t i = 0; i < n_; ++i) columns_[i] += std::fabs(diagonal_[i] - shift);
    if (shift == 0) return 0;
    double rounding = 0;
    for (int64_t i = 0; i < n_; ++i) {
      const DoubleDouble exact = ExactSum(static_cast<double>(diagonal_[i]), -static_cast<double>(shift));
      T& entry = to_[i * stride_ + i];
      entry = static_cast<T>(exact.hi);
      rounding = std::max(rounding, std::fabs((exact.hi - static_cast<double>(entry)) + exact.lo));
    }
    return rounding;
  }

 private:
  // Rows [i, i + kRows), and what they add to the sums.
  template <int kRows>
  void CopyRows(const T* a, int64_t i) {
    const D d;
    T* rows = to_ + i * stride_;
    hn::Vec<D> sums[kRows];
    for (int r = 0; r < kRows; ++r) {
      sums[r] = hn::Zero(d);
      T* row = rows + r * stride_;
      std::copy_n(a + (i + r) * n_, n_, row);
      for (int64_t j = n_; j < stride_; ++j) row[j] = 0;
      diagonal_[i + r] = row[i + r];
    }
    for (int64_t j = 0; j < n_; j += static_cast<int64_t>(hn::Lanes(d))) {
      auto column = i == 0 ? hn::Zero(d) : hn::Load(d, columns_ + j);
      for (int r = 0; r < kRows; ++r) {
        const auto on_diagonal = hn::Eq(hn::Iota(d, T{0}), hn::Set(d, static_cast<T>(i + r - j)));
        const auto entries = hn::IfThenZeroElse(on_diagonal, hn::Abs(hn::Load(d, rows + r * stride_ + j)));
        sums[r] = hn::Add(sums[r], entries);
        column = hn::Add(column, entries);
      }
      hn::Store(column, d, columns_ + j);
    }
    for (int r = 0; r < kRows; ++r) rows_[i + r] = hn::GetLane(hn::SumOfLanes(d, sums[r]));
  }

  const int64_t n_;
  const int64_t stride_;
  T* const to_;
  T* const columns_;   // sums of moduli beside the diagonal, up to Finish
  T* const rows_;      // the same
  T* const diagonal_;  // of A
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
