// Square matrices of non-negative entries in working precision: double, or pairs of doubles (double_double.h).
// Not thread-safe; distinct matrices are independent.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_WIDE_MATRIX_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_WIDE_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/sliced_gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class Precision { kDouble, kDoubleDouble };

// [n, n], contiguous. The entries start unspecified.
class WideMatrix {
 public:
  WideMatrix(int64_t n, Precision precision, runtime::BufferPool& pool)
      : n_(n), precision_(precision), hi_(pool.AllocateArray<double>(static_cast<size_t>(n * n))) {
    if (precision == Precision::kDoubleDouble) lo_ = pool.AllocateArray<double>(static_cast<size_t>(n * n));
  }

  int64_t n() const { return n_; }
  Precision precision() const { return precision_; }
  double* hi() const { return hi_.as<double>(); }
  double* lo() const { return lo_.as<double>(); }  // null in Precision::kDouble

 private:
  int64_t n_;
  Precision precision_;
  runtime::Buffer hi_;
  runtime::Buffer lo_;
};

// c = a b, double. REQUIRES: one n, Precision::kDouble; c is neither a nor b.
absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const WideMatrix& a, const WideMatrix& b,
                      const WideMatrix& c);

// c = a b in either precision; pairs as accurate as asked for, which is quicker the less that is.
absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const WideMatrix& a, const WideMatrix& b,
                      const WideMatrix& c, PairAccuracy& accuracy);

// c += coefficients[0] I + sum over i >= 1 of coefficients[i] powers[i - 1].
// REQUIRES: powers.size() >= coefficients.size() - 1.
absl::Status AddPolynomial(runtime::Executor& executor, const std::vector<DoubleDouble>& coefficients,
                           const std::vector<WideMatrix>& powers, const WideMatrix& c);

// Divides each row by its sum. REQUIRES: no row is zero.
absl::Status NormalizeRows(runtime::Executor& executor, const WideMatrix& a);

// Whether every entry of b equals that of a within `tolerance`, relatively.
bool Agree(const WideMatrix& a, const WideMatrix& b, double tolerance);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_WIDE_MATRIX_H_
