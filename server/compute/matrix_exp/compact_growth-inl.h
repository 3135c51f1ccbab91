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

// Rows of random numbers (probes.h), multiplied from the right by matrices of the shape. rows: memory for 2 kProbes
// rows, `stride` apart.
template <class D>
class CompactGrowth {
  using T = hn::TFromD<D>;

 public:
  CompactGrowth(const CompactShape<T>& matrices, T* rows)
      : shape_(matrices), from_(rows), to_(rows + kProbes * shape_.stride) {
    for (int64_t i = 0; i < kProbes; ++i) {
      T* row = from_ + i * shape_.stride;
      std::copy_n(Probe<T>(i), shape_.n, row);
      std::fill_n(row + shape_.n, shape_.stride - shape_.n, T{0});
    }
  }

  void MultiplyBy(const T* matrix) {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    int64_t j = 0;
    for (; j + kWide * lanes <= shape_.n; j += kWide * lanes) Multiply<kWide>(matrix, j);
    for (; j + 2 * lanes <= shape_.n; j += 2 * lanes) Multiply<2>(matrix, j);
    for (; j < shape_.n; j += lanes) Multiply<1>(matrix, j);
    std::swap(from_, to_);
  }

  // Of the product so far, in the 1-norm: sqrt(n) times the largest column in the 2-norm, which a column's entries
  // times random numbers of mean square 1 estimate.
  double Norm() const {
    const D d;
    auto largest = hn::Zero(d);
    for (int64_t j = 0; j < shape_.n; j += static_cast<int64_t>(hn::Lanes(d))) {
      auto sum = hn::Zero(d);
      for (int64_t i = 0; i < kProbes; ++i) {
        const auto entry = hn::Load(d, from_ + i * shape_.stride + j);
        sum = hn::MulAdd(entry, entry, sum);
      }
      largest = hn::Max(largest, sum);
    }
    const auto square = static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, largest)));
    return std::sqrt(square * static_cast<double>(shape_.n) / kProbes);
  }

 private:
  // So many vectors of two rows the registers hold beside a row of the matrix.
  static constexpr int kWide = HWY_TARGET <= HWY_AVX3 ? 8 : 4;

  template <int kVectors>
  HWY_INLINE void Multiply(const T* matrix, int64_t j) {
    ProductBlock<kProbes, kVectors>(D(), shape_, from_, matrix, 0, j,
                                    [to = to_, stride = shape_.stride](int64_t row, int64_t col, hn::Vec<D> product)
                                        HWY_ATTR { hn::Store(product, D(), to + row * stride + col); });
  }

  const CompactShape<T> shape_;
  T* from_;
  T* to_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
