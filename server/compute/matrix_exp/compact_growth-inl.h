// How fast the powers of a matrix grow, estimated from a few vectors, for Highway code: see entrywise-inl.h for how to
// include it.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_GROWTH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_GROWTH_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_GROWTH_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_GROWTH_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"
#include "server/compute/matrix_exp/compact_layout.h"
#include "server/compute/matrix_exp/compact_product-inl.h"
#include "server/compute/matrix_exp/probes.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of random numbers (probes.h), multiplied from the right. rows: memory for 2 kProbes rows, `stride` apart.
template <class D>
class CompactGrowth {
  using T = hn::TFromD<D>;

 public:
  CompactGrowth(const CompactShape<T>& matrices, T* rows)
      : n_(matrices.n),
        stride_(matrices.stride),
        probes_(ProbesFor(n_)),
        shape_{kRows, n_, stride_, matrices.sums, matrices.ahead},
        from_(rows),
        to_(rows + kProbes * stride_) {
    for (int64_t i = 0; i < probes_; ++i) {
      std::copy_n(Probe<T>(i), n_, from_ + i * stride_);
      std::fill_n(from_ + i * stride_ + n_, stride_ - n_, T{0});
    }
  }

  void MultiplyBy(const T* matrix) {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    int64_t j = 0;
    for (; j + kWide * lanes <= n_; j += kWide * lanes) Multiply<kWide>(matrix, j);
    for (; j + 2 * lanes <= n_; j += 2 * lanes) Multiply<2>(matrix, j);
    for (; j < n_; j += lanes) Multiply<1>(matrix, j);
    std::swap(from_, to_);
  }

  // Of the product so far, in the 1-norm: sqrt(n) times the largest column in the 2-norm, which a column's entries
  // times random numbers of mean square 1 estimate.
  double Norm() const {
    const D d;
    auto largest = hn::Zero(d);
    for (int64_t j = 0; j < n_; j += static_cast<int64_t>(hn::Lanes(d))) {
      auto sum = hn::Zero(d);
      for (int64_t i = 0; i < probes_; ++i) {
        const auto entry = hn::Load(d, from_ + i * stride_ + j);
        sum = hn::MulAdd(entry, entry, sum);
      }
      largest = hn::Max(largest, sum);
    }
    const auto square = static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, largest)));
    return std::sqrt(square * static_cast<double>(n_) / static_cast<double>(probes_));
  }

 private:
  static constexpr int kRows = 2;
  // As many vectors as registers.
  static constexpr int kWide = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

  template <int kVectors>
  HWY_INLINE void Multiply(const T* matrix, int64_t j) {
    ProductBlock<kRows, kVectors>(D(), shape_, from_, matrix, 0, j, [to = to_, stride = stride_](
        int64_t row, int64_t col, hn::Vec<D> product) HWY_ATTR { hn::Store(product, D(), to + row * stride + col); });
  }

  const int64_t n_;
  const int64_t stride_;
  const int64_t probes_;
  const CompactShape<T> shape_;
  T* from_;
  T* to_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
