// Numbers of twice the precision: an unevaluated sum hi + lo with |lo| <= ulp(hi) / 2, about 106 bits.
// Relative error of each operation: a few times 2^-104, for sums only where the operands have the same sign.
// Source: Dekker 1971; Knuth, The Art of Computer Programming 2, 4.2.2 (error-free sum).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_DOUBLE_DOUBLE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_DOUBLE_DOUBLE_H_

#include <cmath>

namespace attend::compute {

struct DoubleDouble {
  double hi = 0;
  double lo = 0;
};

// a + b, exactly. REQUIRES: |a| >= |b| or a = 0.
inline DoubleDouble QuickSum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

// a + b, exactly.
inline DoubleDouble ExactSum(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  return {sum, (a - (sum - b_part)) + (b - b_part)};
}

// a * b, exactly where neither the product nor its last digit underflows.
inline DoubleDouble ExactProduct(double a, double b) {
  const double product = a * b;
  return {product, std::fma(a, b, -product)};
}

inline DoubleDouble operator+(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble sum = ExactSum(a.hi, b.hi);
  return QuickSum(sum.hi, sum.lo + (a.lo + b.lo));
}

inline DoubleDouble operator+(DoubleDouble a, double b) {
  const DoubleDouble sum = ExactSum(a.hi, b);
  return QuickSum(sum.hi, sum.lo + a.lo);
}

inline DoubleDouble operator*(DoubleDouble a, DoubleDouble b) {
  const DoubleDouble product = ExactProduct(a.hi, b.hi);
  return QuickSum(product.hi, product.lo + (a.hi * b.lo + a.lo * b.hi));
}

inline DoubleDouble operator*(DoubleDouble a, double b) { return a * DoubleDouble{b, 0}; }

inline DoubleDouble operator-(DoubleDouble a) { return {-a.hi, -a.lo}; }

inline DoubleDouble operator/(DoubleDouble a, DoubleDouble b) {
  const double first = a.hi / b.hi;
  const DoubleDouble rest = a + -(b * first);
  return QuickSum(first, (rest.hi + rest.lo) / b.hi);
}

// Multiplies by 2^exponent, exactly where the result does not underflow. |exponent| <= 2000. Cheaper than std::ldexp.
class PowerOfTwo {
 public:
  explicit PowerOfTwo(int exponent)
      : first_(std::ldexp(1.0, exponent / 2)), second_(std::ldexp(1.0, exponent - exponent / 2)) {}
  double operator()(double a) const { return a * first_ * second_; }
  DoubleDouble operator()(DoubleDouble a) const { return {(*this)(a.hi), (*this)(a.lo)}; }
  // Its two factors, one after the other.
  double first() const { return first_; }
  double second() const { return second_; }

 private:
  double first_;
  double second_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_DOUBLE_DOUBLE_H_
