// Any matrix by its powers: method.h without a structure. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_METHOD_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_METHOD_H_

#include <optional>

#include "server/compute/matrix_exp/general_exp.h"
#include "server/compute/matrix_exp/method.h"

namespace attend::compute {

template <typename T>
class GeneralMethod : public Method<T> {
 public:
  using Method<T>::Method;

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result, MatrixExpReport& report) override;
  absl::Status AddExpAdjoint(runtime::Executor& executor, double time, const Matrix<const double>& gradient,
                             const Matrix<double>& sum) override;

 protected:
  double ApplyExpFlops(double time, int64_t p) const override;
  double AdjointFlops(double time) const override;

 private:
  std::optional<GeneralExp<T>> exp_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERAL_METHOD_H_
