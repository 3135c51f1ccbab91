// Powers of one matrix, shared by several times t of exp(t A). Not thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// D^-1 A D = factor 2^exponent (C + shift I), D = diag(2^balance), with entries of at most 2 in C, the largest
// not small: no power of C overflows. The shift is the mean of the diagonal where that makes the norm less, otherwise
// 0. The factor is 1 but where C has few digits without it: then powers of C need not round.
template <typename T>
class Powers {
 public:
  static constexpr int kMatrices = 4;  // C, C^2, C^3, C^6

  // REQUIRES: a [n, n] is finite and outlives this; balance [n] as BalanceExponents gives it, or empty: D = I.
  Powers(const Matrix<const T>& a, runtime::BufferPool& pool, std::vector<int> balance = {});

  // Forms C: to be called once, before all others. Where it fails this is of no use.
  absl::Status Start(runtime::Executor& executor);

  // Forms power k (2, 3 or 6) where it is not there yet, and those it is made of; `products` counts them.
  absl::Status Need(int k, runtime::Executor& executor, uint32_t& products);

  // Forms power k (2 or 3) anew, correctly rounded but for 2^-100 n | |C|^k |_1, and forgets those that are made of it:
  // for powers that cancel. REQUIRES: has(k). Where it fails this is of no use.
  absl::Status Refine(int k, runtime::Executor& executor, uint32_t& products);
  bool is_refined(int k) const { return refined_[static_cast<size_t>(k - 2)]; }

  int64_t n() const { return n_; }
  bool has(int k) const { return powers_[Slot(k)].data() != nullptr; }
  // REQUIRES: has(k).
  Matrix<T> power(int k) const { return Matrix<T>(powers_[Slot(k)].template as<T>(), n_, n_); }
  double log_norm(int k) const { return log_norms_[Slot(k)]; }  // log2 |C^k|_1, -infinity where it is zero
  // log2 | |C|^k |_1 for k = 2 and 3, by which the rounding of that power is measured; -infinity where it did not
  // round. REQUIRES: has(k).
  double log_abs_norm(int k) const { return log_abs_norms_[static_cast<size_t>(k - 2)]; }

  // Whether C^k is zero beyond doubt: no rounding has made it so. REQUIRES: has(k).
  bool vanishes(int k) const;

  bool is_zero() const;  // C
  int exponent() const { return exponent_; }
  double factor() const { return factor_; }  // an integer over a power of two, in [1/2, 1]
  double shift() const { return shift_; }
  double shift_rounding() const { return shift_rounding_; }  // what C is off by for it, in the 1-norm
  double norm() const { return norm_; }                      // |A|_1 in units of 2^norm_exponent
  int norm_exponent() const { return norm_exponent_; }
  const std::vector<int>& balance() const { return balance_; }

 private:
  // C = 2^-exponent A, balanced.
  absl::Status Scale(runtime::Executor& executor);
  absl::Status Shift(runtime::Executor& executor, double norm);

  absl::Status MultiplyWide(int k, runtime::Executor& executor, uint32_t& products);
  absl::Status MeasureRefined(int k, runtime::Executor& executor);
  void TakeOutFactor(double& norm);
  absl::Status MeasureAbs(int k, runtime::Executor& executor);

  static size_t Slot(int k) { return k == 6 ? 3 : static_cast<size_t>(k - 1); }

  const Matrix<const T> a_;
  const int64_t n_;
  runtime::BufferPool& pool_;
  const std::vector<int> balance_;
  int exponent_ = 0;
  double factor_ = 1;
  double shift_ = 0;
  double shift_rounding_ = 0;
  double norm_ = 0;
  int norm_exponent_ = 0;
  std::array<runtime::Buffer, kMatrices> powers_;
  std::array<double, kMatrices> log_norms_{};
  std::array<double, 2> log_abs_norms_{};
  std::array<bool, 2> refined_{};
  Dense square_rest_;             // what a refined square has beyond T
  std::vector<double> abs_sums_;  // of the columns of |C|^k, the last k that was measured
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_
