#include "server/compute/matrix_exp/general_method.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/exp_adjoint.h"

namespace attend::compute {

template <typename T>
absl::Status GeneralMethod<T>::Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                                   MatrixExpReport& report) {
  if (!exp_) exp_.emplace(this->a_, this->pool_);
  return exp_->Run(executor, time, result, report);
}

template <typename T>
absl::Status GeneralMethod<T>::AddExpAdjoint(runtime::Executor& executor, double time,
                                             const Matrix<const double>& gradient, const Matrix<double>& sum) {
  this->other_flops_ += AdjointFlops(time);
  return compute::AddExpAdjoint(executor, this->pool_, this->a_, time, gradient, sum);
}

template <typename T>
double GeneralMethod<T>::ApplyExpFlops(double time, int64_t p) const {
  constexpr double kPolynomialProducts = 5;
  const auto n = static_cast<double>(this->a_.rows);
  const double squarings = std::max(0.0, std::ceil(std::log2(std::max(1.0, this->ReportedNorm(time) / 2))));
  return (kPolynomialProducts + squarings) * 2 * n * n * n + 2 * n * n * static_cast<double>(p);
}

template <typename T>
double GeneralMethod<T>::AdjointFlops(double time) const {
  return ExpAdjointFlops(this->a_.rows, this->ReportedNorm(time));
}

template class GeneralMethod<float>;
template class GeneralMethod<double>;

}  // namespace attend::compute
