// A matrix in units in which nothing overflows, without the mean of its diagonal. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHIFTED_MATRIX_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHIFTED_MATRIX_H_

#include <cstdint>

#include "server/compute/matrix_exp/dense.h"

namespace attend::compute {

// A = (C + shift I) 2^exponent, with |c_ij| <= 2 and |shift| <= 1. The shift is the mean of the diagonal where that
// makes the 1-norm less, otherwise 0.
class ShiftedMatrix {
 public:
  // REQUIRES: a [n, n] finite.
  template <typename T>
  ShiftedMatrix(const Matrix<const T>& a, runtime::BufferPool& pool);

  int64_t n() const { return c_.rows(); }
  const Dense& c() const { return c_; }
  double norm() const { return norm_; }  // |C|_1
  long double Unit() const;              // 2^exponent

  // |time A|_1 as the report states it: the largest double where it is more.
  double ReportedNorm(double time) const;
  // log2 |time (A - shift)|_1; -infinity for zero.
  double LogNorm(double time) const;
  // time * 2^exponent 2^-steps_log2, saturated at both ends of double's range.
  double Scale(double time, int64_t steps_log2) const;
  // time * shift, as part of time A.
  long double ShiftBy(double time) const;

 private:
  Dense c_;
  int exponent_ = 0;
  double shift_ = 0;
  double norm_ = 0;
  double norm_of_a_ = 0;  // |A|_1 2^-exponent
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SHIFTED_MATRIX_H_
