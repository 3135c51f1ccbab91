// exp(t A) of one general matrix at several times, balanced where that makes the result better. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_EXP_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_EXP_H_

#include <optional>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/matrix_exp/pair_exp.h"
#include "server/compute/matrix_exp/powers.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
class GeneralExp {
 public:
  // REQUIRES: a [n, n] is finite and outlives this.
  GeneralExp(const Matrix<const T>& a, runtime::BufferPool& pool) : a_(a), pool_(pool) {}

  // result [n, n], contiguous, = exp(time * A); same errors as TaylorExp. A matrix that balancing changes is computed
  // both ways where the balanced one's error bound is not small, and the result of the lesser bound is taken. Where
  // that is poor still, double matrices up to kLargestPairExp are computed in pairs of doubles.
  absl::Status Run(runtime::Executor& executor, double time, const Matrix<T>& result, MatrixExpReport& report);

 private:
  absl::Status RunBetter(runtime::Executor& executor, double time, const Matrix<T>& result, MatrixExpReport& report);
  absl::Status RunPlain(runtime::Executor& executor, double time, const Matrix<T>& result, MatrixExpReport& report);

  const Matrix<const T> a_;
  runtime::BufferPool& pool_;
  bool looked_ = false;  // whether balancing changes anything
  std::optional<Powers<T>> balanced_;
  std::optional<Powers<T>> plain_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_EXP_H_
