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
  CompactGrowth(int64_t n, int64_t stride, T* rows)
      : n_(n), stride_(stride), probes_(ProbesFor(n)), from_(rows), to_(rows + kProbes * stride) {
    for (int64_t i = 0; i < probes_; ++i) {
      std::copy_n(Probe<T>(i), n, from_ + i * stride);
      std::fill_n(from_ + i * stride + n, stride - n, T{0});
    }
  }

  void MultiplyBy(const T* matrix) {
    CompactProduct<false>(D(), probes_, n_, stride_, from_, matrix, to_);
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
  const int64_t n_;
  const int64_t stride_;
  const int64_t probes_;
  T* from_;
  T* to_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
