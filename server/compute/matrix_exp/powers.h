// Powers of one matrix, shared by several times t of exp(t A). Not thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_

#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// A - shift I = C 2^exponent with |c_ij| <= 1, and C^k = P_k 2^(exponent of power k) with max |entry of P_k| in
// [1/2, 1): whatever the range of A, no power over- or underflows as a whole. The shift is the mean of the diagonal
// where that makes the norm less, otherwise 0.
template <typename T>
class Powers {
 public:
  // Forms C. REQUIRES: a [n, n] is finite.
  Powers(const Matrix<const T>& a, runtime::BufferPool& pool);

  // Forms the next power, with one product.
  absl::Status AddPower(runtime::Executor& executor);

  int64_t n() const { return n_; }
  int count() const { return static_cast<int>(powers_.size()); }
  bool is_zero() const { return log_norms_[0] == -INFINITY; }  // C

  // Of power k in 1 .. count(): P_k, its exponent, log2 |C^k|_1 (-infinity where it is zero).
  Matrix<T> power(int k) const { return Matrix<T>(powers_[k - 1].template as<T>(), n_, n_); }
  int64_t power_exponent(int k) const { return power_exponents_[k - 1]; }
  double log_norm(int k) const { return log_norms_[k - 1]; }

  int exponent() const { return exponent_; }
  double shift() const { return shift_; }  // in units of 2^exponent
  double norm() const { return norm_; }    // |A|_1 in units of 2^exponent

 private:
  void Normalize(int64_t exponent);

  const int64_t n_;
  runtime::BufferPool& pool_;
  int exponent_ = 0;
  double shift_ = 0;
  double norm_ = 0;
  std::vector<runtime::Buffer> powers_;
  std::vector<int64_t> power_exponents_;
  std::vector<double> log_norms_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_POWERS_H_
