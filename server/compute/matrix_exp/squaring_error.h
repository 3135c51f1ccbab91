// How far rounding may have moved X_s = X_0^(2^s), X_0 = exp(B / 2^s), from what is measured on the way. Not
// thread-safe.
//
// An error E in X_k = exp(h B), h = 2^(k - s), arrives in X_s as the sum over i of X_k^i E X_k^(N - 1 - i), N = 1 / h.
// The norms of these powers are those of exp(t B) at t = i h and 1 - h - i h. Two bounds are made of them, and the less
// one holds: the product of |exp(t B)| over the binary digits of t, which is rigorous, but counts a hump of |exp(t B)|
// once for each digit; and the norms measured at t = 1, 1/2, 1/4, .. with values between them interpolated (log-linear
// in [1/2, 1], the larger neighbour below).
// Source: Higham 2008, Functions of Matrices, 10.2 (the sum), 10.3 (conditioning through |exp(t B)|).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SQUARING_ERROR_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SQUARING_ERROR_H_

#include "absl/container/inlined_vector.h"

namespace attend::compute {

class SquaringError {
 public:
  // X_0: log2 of its norm, and the bound of its error relative to that.
  SquaringError(double log_norm, double relative_error) : levels_{{log_norm, relative_error}} {}

  // X_(k+1) was formed: log2 of its norm, and its rounding error relative to that.
  void Add(double log_norm, double relative_error) { levels_.push_back({log_norm, relative_error}); }

  // The error of the last X relative to its norm; 1e300 where it is so large that this analysis of first order ends.
  double Relative() const;

 private:
  struct Level {
    double log_norm;
    double error;
  };

  double LogGrowth(size_t level, double log_product) const;

  absl::InlinedVector<Level, 16> levels_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SQUARING_ERROR_H_
