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

// Polynomials at x C out of powers of C [n, n] as CompactProduct takes them.
template <class D>
class CompactPolynomial {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;

 public:
  static constexpr size_t kSpare = 5;

  // powers: C, C^2, C^3 and C^6, the last two only read for degree 18. spare: memory for as many matrices.
  CompactPolynomial(const CompactShape<T>& shape, const std::array<const T*, 4>& powers,
                    const std::array<T*, kSpare>& spare)
      : shape_(shape),
        powers_(powers),
        rest_(spare[0]),
        left_(spare[1]),
        right_(spare[2]),
        last_left_(spare[3]),
        last_right_(spare[4]) {}

  // `degree` is 2, 4, 8, 15 or 18. Returns the 1-norm without the output's factor; shape.sums are the columns'.
  T Evaluate(int degree, double x, const CompactOutput<T>& output) const {
    switch (degree) {
      case 2:
        return Evaluate2(x, output);
      case 4:
        return Evaluate4(x, output);
      case 8:
        return Evaluate8(x, output);
      case 15:
        return Evaluate15(x, output);
      default:
        return Evaluate18(x, output);
    }
  }

 private:
  template <size_t kTerms>
  using Factors = std::array<T, kTerms>;

  // Of C and C^2 in the combination at x C.
  static Factors<2> Two(const Combination& combination, double x) {
    const Combination scaled = Scaled(combination, x);
    return {static_cast<T>(scaled[1]), static_cast<T>(scaled[2])};
  }
  // Of all powers.
  static Factors<4> Four(const Combination& combination, double x) {
    const Combination scaled = Scaled(combination, x);
    return {static_cast<T>(scaled[1]), static_cast<T>(scaled[2]), static_cast<T>(scaled[3]), static_cast<T>(scaled[4])};
  }

  int64_t At(int64_t row, int64_t col) const { return row * shape_.stride + col; }

  // The first kTerms powers at a vector of entries.
  template <size_t kTerms>
  struct Terms {
    V power[kTerms];
  };
  template <size_t kTerms>
  HWY_INLINE Terms<kTerms> Load(int64_t at) const {
    Terms<kTerms> terms;
    for (size_t k = 0; k < kTerms; ++k) terms.power[k] = hn::Load(D(), powers_[k] + at);
    return terms;
  }

  template <size_t kTerms>
  static HWY_INLINE V Combine(const Factors<kTerms>& factors, const Terms<kTerms>& terms) {
    auto sum = hn::Mul(hn::Set(D(), factors[0]), terms.power[0]);
    for (size_t k = 1; k < kTerms; ++k) sum = hn::MulAdd(hn::Set(D(), factors[k]), terms.power[k], sum);
    return sum;
  }

  static HWY_INLINE V MulAdd(T factor, V term, V sum) { return hn::MulAdd(hn::Set(D(), factor), term, sum); }

  // outs[o] = the combination of the first kTerms powers with factors[o].
  template <size_t kOuts, size_t kTerms>
  void Mix(const std::array<Factors<kTerms>, kOuts>& factors, const std::array<T*, kOuts>& outs) const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    for (int64_t row = 0; row < shape_.n; ++row) {
      for (int64_t at = At(row, 0); at < At(row, shape_.n); at += lanes) {
        const Terms<kTerms> terms = Load<kTerms>(at);
        for (size_t o = 0; o < kOuts; ++o) hn::Store(Combine(factors[o], terms), D(), outs[o] + at);
      }
    }
  }

  void AddIdentity(double scale, T* to) const {
    for (int64_t i = 0; i < shape_.n; ++i) to[At(i, i)] += static_cast<T>(scale);
  }

  // Not inlined: what it needs would take registers from the product between whose rows it is called.
  template <class Use>
  static HWY_NOINLINE void ForRows(const CompactShape<T>& shape, int64_t first, int64_t rows, const Use& use_of) {
    const Use use = use_of;
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    for (int64_t row = first * shape.stride; row < (first + rows) * shape.stride; row += shape.stride) {
      for (int64_t at = row; at < row + shape.n; at += lanes) use(at);
    }
  }

  // to = a b, every vector of it going to use(at) while it is in the nearest cache.
  template <class Use>
  void Multiply(const T* a, const T* b, T* to, const Use& use) const {
    CompactProduct(
        D(), shape_, a, b,
        [to, stride = shape_.stride](int64_t row, int64_t col, V product)
            HWY_ATTR { hn::Store(product, D(), to + row * stride + col); },
        [this, &use](int64_t first, int64_t rows) { ForRows(shape_, first, rows, use); });
  }

  // output = left right + rest_.
  T MultiplyLast(const T* left, const T* right, const CompactOutput<T>& output) const {
    return CompactProduct(D(), shape_, left, right,
                          [output, rest = rest_, stride = shape_.stride](int64_t row, int64_t col, V product) HWY_ATTR {
                            const V value = hn::Add(hn::Load(D(), rest + row * stride + col), product);
                            output.Put(D(), row, col, value);
                            return value;
                          });
  }

  T Evaluate2(double x, const CompactOutput<T>& output) const {
    Mix<1, 2>({Two({1, 1, 0.5, 0, 0}, x)}, {rest_});
    AddIdentity(1, rest_);
    return CompactPass(D(), shape_, rest_, [&](int64_t row, int64_t col, V value) HWY_ATTR {
      output.Put(D(), row, col, value);
      return value;
    });
  }

  T Evaluate4(double x, const CompactOutput<T>& output) const {
    const double square = x * x;
    Combination factor = taylor4::kFactor;
    for (double& coefficient : factor) coefficient *= square;
    Mix<2, 2>({Two(factor, x), Two(taylor4::kRest, x)}, {left_, rest_});
    AddIdentity(factor[0], left_);
    AddIdentity(taylor4::kRest[0], rest_);
    return MultiplyLast(powers_[1], left_, output);
  }

  T Evaluate8(double x, const CompactOutput<T>& output) const {
    MixInner(taylor8::kInner, x);
    const T left_factor = Two(taylor8::kLeft, x)[1];
    const Factors<2> right_factors = Two(taylor8::kRight, x);
    const Factors<2> rest_factors = Two(taylor8::kRest, x);
    Multiply(powers_[1], last_right_, rest_, [=, *this](int64_t at) HWY_ATTR {
      const V inner = hn::Load(D(), rest_ + at);
      const Terms<2> terms = Load<2>(at);
      hn::Store(MulAdd(left_factor, terms.power[1], inner), D(), left_ + at);
      hn::Store(MulAdd(taylor8::kRightInner, inner, Combine(right_factors, terms)), D(), right_ + at);
      hn::Store(Combine(rest_factors, terms), D(), rest_ + at);
    });
    AddIdentity(taylor8::kRight[0], right_);
    AddIdentity(taylor8::kRest[0], rest_);
    return MultiplyLast(left_, right_, output);
  }

  // rest_ is Q between the products.
  T Evaluate15(double x, const CompactOutput<T>& output) const {
    MixInner(taylor15::kInner, x);
    const Factors<2> left_factors = Two(taylor15::kLeft, x);
    const T right_factor = Two(taylor15::kRight, x)[1];
    Multiply(powers_[1], last_right_, rest_, [=, *this](int64_t at) HWY_ATTR {
      const V inner = hn::Load(D(), rest_ + at);
      const Terms<2> terms = Load<2>(at);
      hn::Store(hn::Add(Combine(left_factors, terms), inner), D(), left_ + at);
      hn::Store(MulAdd(right_factor, terms.power[1], inner), D(), right_ + at);
    });
    const T outer_factor = Two(taylor15::kRest, x)[1];
    const Factors<2> last_left_factors = Two(taylor15::kLastLeft, x);
    const T last_right_factor = Two(taylor15::kLastRight, x)[0];
    const Factors<2> last_rest_factors = Two(taylor15::kLastRest, x);
    Multiply(left_, right_, last_left_, [=, *this](int64_t at) HWY_ATTR {
      const V product = hn::Load(D(), last_left_ + at);
      const Terms<2> terms = Load<2>(at);
      const V inner = hn::Load(D(), rest_ + at);
      const V outer = MulAdd(taylor15::kRestInner, inner, MulAdd(outer_factor, terms.power[1], product));
      hn::Store(hn::Add(Combine(last_left_factors, terms), outer), D(), last_left_ + at);
      hn::Store(MulAdd(last_right_factor, terms.power[0], MulAdd(taylor15::kLastRightInner, inner, outer)), D(),
                last_right_ + at);
      hn::Store(MulAdd(taylor15::kLastRestOuter, outer,
                       MulAdd(taylor15::kLastRestInner, inner, Combine(last_rest_factors, terms))),
                D(), rest_ + at);
    });
    AddIdentity(taylor15::kLastRest[0], rest_);
    return MultiplyLast(last_left_, last_right_, output);
  }

  T Evaluate18(double x, const CompactOutput<T>& output) const {
    Mix<2, 4>({Four(taylor18::kL1, x), Four(taylor18::kL5, x)}, {left_, right_});
    Combination both = taylor18::kL3;
    for (size_t k = 0; k < both.size(); ++k) both[k] += taylor18::kL4[k];
    const Factors<4> left_factors = Four(both, x);
    const Factors<4> right_factors = Four(taylor18::kL4, x);
    const Factors<4> rest_factors = Four(taylor18::kRest, x);
    Multiply(left_, right_, last_left_, [=, *this](int64_t at) HWY_ATTR {
      const V product = hn::Load(D(), last_left_ + at);
      const Terms<4> terms = Load<4>(at);
      hn::Store(hn::Add(Combine(left_factors, terms), product), D(), last_left_ + at);
      hn::Store(hn::Add(Combine(right_factors, terms), product), D(), last_right_ + at);
      hn::Store(MulAdd(taylor18::kKappa, product, Combine(rest_factors, terms)), D(), rest_ + at);
    });
    AddIdentity(taylor18::kRest[0], rest_);
    return MultiplyLast(last_left_, last_right_, output);
  }

  // last_right_ = x^2 times the combination at x C: (x C)^2 times that is C^2 times this.
  void MixInner(const Combination& combination, double x) const {
    Combination inner = combination;
    for (double& coefficient : inner) coefficient *= x * x;
    Mix<1, 2>({Two(inner, x)}, {last_right_});
  }

  const CompactShape<T> shape_;
  const std::array<const T*, 4> powers_;
  T* const rest_;
  T* const left_;
  T* const right_;
  T* const last_left_;
  T* const last_right_;
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
