// The Taylor polynomials of taylor_polynomial.h for Highway code: see entrywise-inl.h for how to include it.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_POLYNOMIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_POLYNOMIAL_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_POLYNOMIAL_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_POLYNOMIAL_INL_H_
#endif

#include <array>
#include <cstdint>

#include "hwy/highway.h"
#include "server/compute/matrix_exp/compact_product-inl.h"
#include "server/compute/matrix_exp/taylor_polynomial.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// outs[o] = sum over k of factors[o][k] * terms[k], all [rows, cols] with rows `stride` apart, cols whole vectors: one
// pass over the terms, which may be among the outs.
template <class D, size_t kOuts, size_t kTerms, typename T = hn::TFromD<D>>
HWY_INLINE void Blend(D d, int64_t rows, int64_t cols, int64_t stride,
                      const std::array<std::array<T, kTerms>, kOuts>& factors,
                      const std::array<const T*, kTerms>& terms, const std::array<T*, kOuts>& outs) {
  for (int64_t row = 0; row < rows * stride; row += stride) {
    for (int64_t i = row; i < row + cols; i += static_cast<int64_t>(hn::Lanes(d))) {
      hn::Vec<D> values[kTerms];
      for (size_t k = 0; k < kTerms; ++k) values[k] = hn::Load(d, terms[k] + i);
      for (size_t o = 0; o < kOuts; ++o) {
        auto sum = hn::Mul(hn::Set(d, factors[o][0]), values[0]);
        for (size_t k = 1; k < kTerms; ++k) sum = hn::MulAdd(hn::Set(d, factors[o][k]), values[k], sum);
        hn::Store(sum, d, outs[o] + i);
      }
    }
  }
}

// Polynomials at x C out of powers of C [n, n] as CompactProduct takes them.
template <class D>
class CompactPolynomial {
  using T = hn::TFromD<D>;

 public:
  // powers: C, C^2, C^3 and C^6, the last two only read for degree 18. The result takes the place of spare[0].
  CompactPolynomial(int64_t n, int64_t stride, const std::array<const T*, 4>& powers, const std::array<T*, 4>& spare)
      : n_(n),
        stride_(stride),
        powers_(powers),
        value_(spare[0]),
        outer_(spare[1]),
        left_(spare[2]),
        right_(spare[3]) {}

  // `degree` is 2, 4, 8, 15 or 18.
  void Evaluate(int degree, double x) const {
    if (degree == 2) Evaluate2(x);
    if (degree == 4) Evaluate4(x);
    if (degree == 8) Evaluate8(x);
    if (degree == 15) Evaluate15(x);
    if (degree == 18) Evaluate18(x);
  }

 private:
  template <size_t kTerms>
  using Factors = std::array<T, kTerms>;

  // Of C and C^2 in the combination at x C.
  static Factors<2> Two(const Combination& combination, double x) {
    const Combination scaled = Scaled(combination, x);
    return {static_cast<T>(scaled[1]), static_cast<T>(scaled[2])};
  }
  // And of a third and a fourth matrix.
  static Factors<3> Three(const Combination& combination, double x, double third) {
    const Factors<2> two = Two(combination, x);
    return {two[0], two[1], static_cast<T>(third)};
  }
  static Factors<4> Four(const Combination& combination, double x, double third, double fourth) {
    const Factors<2> two = Two(combination, x);
    return {two[0], two[1], static_cast<T>(third), static_cast<T>(fourth)};
  }
  // Of all powers, and of a fifth matrix.
  static Factors<4> Powers(const Combination& combination, double x) {
    const Combination scaled = Scaled(combination, x);
    return {static_cast<T>(scaled[1]), static_cast<T>(scaled[2]), static_cast<T>(scaled[3]), static_cast<T>(scaled[4])};
  }
  static Factors<5> Five(const Combination& combination, double x, double fifth) {
    const Factors<4> four = Powers(combination, x);
    return {four[0], four[1], four[2], four[3], static_cast<T>(fifth)};
  }

  template <size_t kOuts, size_t kTerms>
  void Mix(const std::array<Factors<kTerms>, kOuts>& factors, const std::array<const T*, kTerms>& terms,
           const std::array<T*, kOuts>& outs) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    const int64_t cols = (n_ + lanes - 1) / lanes * lanes;
    Blend<D, kOuts, kTerms>(D(), n_, cols, stride_, factors, terms, outs);
  }

  void AddIdentity(double scale, T* to) const {
    for (int64_t i = 0; i < n_; ++i) to[i * stride_ + i] += static_cast<T>(scale);
  }

  void Multiply(const T* a, const T* b, T* to) const { CompactProduct<false>(D(), n_, n_, stride_, a, b, to); }
  void AddProduct(const T* a, const T* b, T* to) const { CompactProduct<true>(D(), n_, n_, stride_, a, b, to); }

  void Evaluate2(double x) const {
    Mix<1, 2>({Two({1, 1, 0.5, 0, 0}, x)}, {powers_[0], powers_[1]}, {value_});
    AddIdentity(1, value_);
  }

  void Evaluate4(double x) const {
    const double square = x * x;
    Combination factor = taylor4::kFactor;
    for (double& coefficient : factor) coefficient *= square;
    Mix<2, 2>({Two(factor, x), Two(taylor4::kRest, x)}, {powers_[0], powers_[1]}, {left_, value_});
    AddIdentity(factor[0], left_);
    AddIdentity(taylor4::kRest[0], value_);
    AddProduct(powers_[1], left_, value_);
  }

  void Evaluate8(double x) const {
    MultiplyInner(taylor8::kInner, x);
    Mix<3, 3>(
        {Three(taylor8::kLeft, x, 1), Three(taylor8::kRight, x, taylor8::kRightInner), Three(taylor8::kRest, x, 0)},
        {powers_[0], powers_[1], value_}, {left_, right_, value_});
    AddIdentity(taylor8::kRight[0], right_);
    AddIdentity(taylor8::kRest[0], value_);
    AddProduct(left_, right_, value_);
  }

  void Evaluate15(double x) const {
    MultiplyInner(taylor15::kInner, x);
    Mix<3, 3>(
        {Three(taylor15::kLeft, x, 1), Three(taylor15::kRight, x, 1), Three(taylor15::kRest, x, taylor15::kRestInner)},
        {powers_[0], powers_[1], value_}, {left_, right_, outer_});
    AddProduct(left_, right_, outer_);
    Mix<3, 4>({Four(taylor15::kLastLeft, x, 0, 1), Four(taylor15::kLastRight, x, taylor15::kLastRightInner, 1),
               Four(taylor15::kLastRest, x, taylor15::kLastRestInner, taylor15::kLastRestOuter)},
              {powers_[0], powers_[1], value_, outer_}, {left_, right_, value_});
    AddIdentity(taylor15::kLastRest[0], value_);
    AddProduct(left_, right_, value_);
  }

  void Evaluate18(double x) const {
    Mix<2, 4>({Powers(taylor18::kL1, x), Powers(taylor18::kL5, x)}, powers_, {left_, right_});
    Multiply(left_, right_, value_);
    Combination left = taylor18::kL3;
    for (size_t k = 0; k < left.size(); ++k) left[k] += taylor18::kL4[k];
    Mix<3, 5>({Five(left, x, 1), Five(taylor18::kL4, x, 1), Five(taylor18::kRest, x, taylor18::kKappa)},
              {powers_[0], powers_[1], powers_[2], powers_[3], value_}, {left_, right_, value_});
    AddIdentity(taylor18::kRest[0], value_);
    AddProduct(left_, right_, value_);
  }

  // value_ = (x C)^2 times the combination at x C.
  void MultiplyInner(const Combination& combination, double x) const {
    Combination inner = combination;
    for (double& coefficient : inner) coefficient *= x * x;
    Mix<1, 2>({Two(inner, x)}, {powers_[0], powers_[1]}, {left_});
    Multiply(powers_[1], left_, value_);
  }

  const int64_t n_;
  const int64_t stride_;
  const std::array<const T*, 4> powers_;
  T* const value_;
  T* const outer_;
  T* const left_;
  T* const right_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
