// What a Markov chain does in 1, 2, 4, 8, ... steps. Belongs to one call: not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_STEP_POWERS_H_
#define ATTEND_SERVER_COMPUTE_LIE_STEP_POWERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Most squarings: beyond 2^30 steps, rounding would decide.
inline constexpr size_t kMostSquarings = 30;

// S^(2^k) for s [n, n], row-stochastic, each computed once and kept. Rows are normalized after each product: no entry
// is ever negative, and entries of S^t carry relative errors of up to some t n roundoff. Needs s alive.
class StepPowers {
 public:
  StepPowers(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s)
      : executor_(executor), pool_(pool), views_{s} {}

  // at(k) from then on. REQUIRES: k <= kMostSquarings. Fails with the executor's errors.
  absl::Status Reach(size_t k);
  const Matrix<const double>& at(size_t k) const { return views_[k]; }

  // to = a b with normalized rows, both powers of S.
  absl::Status Product(const Matrix<const double>& a, const Matrix<const double>& b, runtime::Buffer& to);
  Matrix<const double> View(const runtime::Buffer& buffer) const;

  // Matrices [n, n] of doubles held at most, with the two that a caller makes by Product.
  static constexpr int MostMatrices() { return static_cast<int>(kMostSquarings) + 3; }

 private:
  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  std::vector<runtime::Buffer> buffers_;
  std::vector<Matrix<const double>> views_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_STEP_POWERS_H_
