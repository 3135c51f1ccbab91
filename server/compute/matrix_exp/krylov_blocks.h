// The terms of exp(s) f, kept: blocks s^k f / k! side by side, as gradients through an action need them. Not
// thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_KRYLOV_BLOCKS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_KRYLOV_BLOCKS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class KrylovBlocks {
 public:
  static constexpr int kMostTerms = 91;

  // The first block is f [n, p].
  KrylovBlocks(const Dense& f, runtime::BufferPool& pool);

  // Errors of both: the executor's.
  // Blocks of s = scale c until there are `terms` of them. REQUIRES: terms <= kMostTerms.
  absl::Status ExtendTo(int terms, runtime::Executor& executor, double scale, const Operand<double>& c);
  // Until two in a row are below `tolerance` of their column in the sum, or there are kMostTerms.
  absl::Status ExtendUntilNegligible(double tolerance, runtime::Executor& executor, double scale,
                                     const Operand<double>& c);

  int terms() const { return terms_; }
  // After ExtendUntilNegligible: whether it ended for that reason, and how many times its column's sum a term was.
  bool converged() const { return converged_; }
  double Cancellation() const;

  // All blocks, [n, terms * p].
  Matrix<double> all() const { return Matrix<double>(memory_.data(), n_, terms_ * p_, memory_.cols()); }
  // Their sum, [n, p].
  const Dense& sum() const { return sum_; }

 private:
  Matrix<double> block(int k) const { return Matrix<double>(memory_.data() + k * p_, n_, p_, memory_.cols()); }
  absl::Status AddBlock(runtime::Executor& executor, double scale, const Operand<double>& c);
  bool IsNegligible(double tolerance) const;

  const int64_t n_;
  const int64_t p_;
  Dense memory_;  // [n, kMostTerms * p]
  Dense sum_;
  int terms_ = 1;
  bool converged_ = false;
  std::vector<double> last_, before_, sums_, peaks_;  // the largest entries by column
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_KRYLOV_BLOCKS_H_
