// How far a matrix is from one with a given eigenvalue: what rounding can do to its spectrum. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_SINGULAR_DISTANCE_H_
#define ATTEND_SERVER_COMPUTE_LIE_SINGULAR_DISTANCE_H_

#include <optional>

#include "absl/status/statusor.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class SingularDistance {
 public:
  // REQUIRES: s [n, n], n >= 1, with finite entries up to about 1, outlives this.
  SingularDistance(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s)
      : executor_(executor), pool_(pool), s_(s) {}

  // The least ||E||_2 with s + E - x I singular: the smallest singular value of s - x I, to a few roundings of 1. As
  // long as perturbations are smaller, the sign of det(s - x I) stands, and with it the parity of the number of real
  // eigenvalues below x. Errors: the executor's, INTERNAL where LAPACK does not converge.
  absl::StatusOr<double> At(double x) const;

 private:
  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const Matrix<const double> s_;
  mutable std::optional<double> at_zero_;  // once somebody asked
};

double SingularDistanceWorkspaceBytes(int64_t n, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_SINGULAR_DISTANCE_H_
