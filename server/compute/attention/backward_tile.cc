#include "server/compute/attention/backward_tile.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "server/compute/attention/backward_tile.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// After highway.h, which they need.
#include "server/compute/attention/tile_mask-inl.h"
#include "server/compute/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {

// The weights and the scores' gradients of one vector of a row.
template <typename T>
struct RowSweep {
  Vector<T> lse;
  Vector<T> rest;
  Vector<T> delta;

  HWY_INLINE void Store(Vector<T> score, T* scores, T* gradients) const {
    const Tag<T> d;
    // A score that is recomputed may round above the sum that it was part of.
    const auto weight = ExpNonPositive(d, hn::Min(hn::Sub(hn::Sub(score, lse), rest), hn::Zero(d)));
    const auto slope = hn::Mul(weight, hn::Sub(hn::LoadU(d, gradients), delta));
    hn::StoreU(weight, d, scores);
    hn::StoreU(hn::IfThenElseZero(hn::Ne(weight, hn::Zero(d)), slope), d, gradients);
  }
};

template <typename T>
HWY_INLINE void BackwardRow(T* scores, T* gradients, int64_t cols, const RowSweep<T>& sweep) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t j = 0; j < cols; j += lanes) sweep.Store(hn::LoadU(d, scores + j), scores + j, gradients + j);
}

// 1 - tanh^2 of a capped score.
template <typename T>
HWY_INLINE Vector<T> CapSlope(const RowMask<T>& mask, Vector<T> capped) {
  const Tag<T> d;
  const auto tanh = hn::Mul(capped, hn::Set(d, 1 / mask.softcap));
  return hn::Max(hn::NegMulAdd(tanh, tanh, hn::Set(d, T{1})), hn::Zero(d));
}

template <typename T>
HWY_INLINE void MaskedBackwardRow(T* scores, T* gradients, int64_t cols, const RowMask<T>& mask,
                                  const RowSweep<T>& sweep, T* cap_slopes) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto hidden = hn::Set(d, -std::numeric_limits<T>::infinity());
  for (int64_t j = 0; j < cols; j += lanes) {
    const auto visible = VisibleLanes(mask, j, cols);
    auto score = Softcap(mask, hn::IfThenElseZero(visible, hn::LoadU(d, scores + j)));
    if (mask.softcap != 0) hn::StoreU(CapSlope(mask, score), d, cap_slopes + j);
    score = AddBias(mask, j, cols, SubtractAlibi(mask, j, score));
    sweep.Store(hn::IfThenElse(visible, score, hidden), scores + j, gradients + j);
  }
}

template <typename T>
HWY_INLINE void BackwardTileT(const Matrix<T>& scores, const Matrix<T>& gradients, const TileMask<T>* mask,
                              const RowGradients<T>& rows, T* cap_slopes) {
  const Tag<T> d;
  for (int64_t r = 0; r < scores.rows; ++r) {
    const bool sees_a_key = rows.lse[r] != -std::numeric_limits<T>::infinity();
    if (!sees_a_key) {
      std::fill_n(scores.row(r), scores.cols, T{0});
      std::fill_n(gradients.row(r), scores.cols, T{0});
      if (mask != nullptr && mask->softcap != 0) std::fill_n(cap_slopes + r * scores.stride, scores.cols, T{0});
      continue;
    }
    const RowSweep<T> sweep{hn::Set(d, rows.lse[r]), hn::Set(d, rows.rest == nullptr ? T{0} : rows.rest[r]),
                            hn::Set(d, rows.delta[r])};
    if (mask == nullptr) {
      BackwardRow(scores.row(r), gradients.row(r), scores.cols, sweep);
    } else {
      MaskedBackwardRow(scores.row(r), gradients.row(r), scores.cols, MaskOfRow(*mask, r), sweep,
                        cap_slopes + r * scores.stride);
    }
  }
}

template <typename T>
HWY_INLINE void MultiplyTileT(const Matrix<T>& a, const Matrix<T>& b) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < a.rows; ++r) {
    for (int64_t j = 0; j < a.cols; j += lanes) {
      hn::StoreU(hn::Mul(hn::LoadU(d, a.row(r) + j), hn::LoadU(d, b.row(r) + j)), d, a.row(r) + j);
    }
  }
}

template <typename T>
HWY_INLINE T DotT(const T* a, const T* b, int64_t count) {
  const Tag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum);
  T total = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

void BackwardTileF32(const Matrix<float>& scores, const Matrix<float>& gradients, const TileMask<float>* mask,
                     const RowGradients<float>& rows, float* cap_slopes) {
  BackwardTileT(scores, gradients, mask, rows, cap_slopes);
}
void BackwardTileF64(const Matrix<double>& scores, const Matrix<double>& gradients, const TileMask<double>* mask,
                     const RowGradients<double>& rows, double* cap_slopes) {
  BackwardTileT(scores, gradients, mask, rows, cap_slopes);
}
void MultiplyTileF32(const Matrix<float>& a, const Matrix<float>& b) { MultiplyTileT(a, b); }
void MultiplyTileF64(const Matrix<double>& a, const Matrix<double>& b) { MultiplyTileT(a, b); }
float DotF32(const float* a, const float* b, int64_t count) { return DotT(a, b, count); }
double DotF64(const double* a, const double* b, int64_t count) { return DotT(a, b, count); }

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attend::compute {

HWY_EXPORT(BackwardTileF32);
HWY_EXPORT(BackwardTileF64);
HWY_EXPORT(MultiplyTileF32);
HWY_EXPORT(MultiplyTileF64);
HWY_EXPORT(DotF32);
HWY_EXPORT(DotF64);

void SoftmaxBackwardTile(const Matrix<float>& scores, const Matrix<float>& gradients, const TileMask<float>* mask,
                         const RowGradients<float>& rows, float* cap_slopes) {
  HWY_DYNAMIC_DISPATCH(BackwardTileF32)(scores, gradients, mask, rows, cap_slopes);
}
void SoftmaxBackwardTile(const Matrix<double>& scores, const Matrix<double>& gradients, const TileMask<double>* mask,
                         const RowGradients<double>& rows, double* cap_slopes) {
  HWY_DYNAMIC_DISPATCH(BackwardTileF64)(scores, gradients, mask, rows, cap_slopes);
}

void MultiplyTile(const Matrix<float>& a, const Matrix<float>& b) { HWY_DYNAMIC_DISPATCH(MultiplyTileF32)(a, b); }
void MultiplyTile(const Matrix<double>& a, const Matrix<double>& b) { HWY_DYNAMIC_DISPATCH(MultiplyTileF64)(a, b); }

float Dot(const float* a, const float* b, int64_t count) { return HWY_DYNAMIC_DISPATCH(DotF32)(a, b, count); }
double Dot(const double* a, const double* b, int64_t count) { return HWY_DYNAMIC_DISPATCH(DotF64)(a, b, count); }

}  // namespace attend::compute
#endif  // HWY_ONCE
