// One matrix by the way that its structure allows. Not thread-safe; the matrix outlives its method. T is float or
// double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_METHOD_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_METHOD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/matrix_exp/taylor_action.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// A result exp(time a) [n, n] or exp(time a) b [n, p] to be computed.
template <typename T>
struct ActionJob {
  double time = 0;
  Matrix<T> result;
  MatrixExpReport* report = nullptr;
};

// All functions return OUT_OF_RANGE with norm and time in the message where a result overflows T, and the executor's
// errors. What they share (powers, a decomposition) is computed once.
template <typename T>
class Method {
 public:
  Method(runtime::BufferPool& pool, const Matrix<const T>& a);
  virtual ~Method() = default;
  Method(const Method&) = delete;
  Method& operator=(const Method&) = delete;

  // result [n, n] = exp(time a). Fills `report`.
  virtual absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                           MatrixExpReport& report) = 0;

  // Every job's result = exp(time a), each with the bits that Exp gives it. REQUIRES: distinct times.
  virtual absl::Status Exps(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs);

  // Every job's result = exp(time a) b, by the cheaper way for all of them together: through exp(time a) or what stands
  // for it, or by products of a with [n, p], where one time starts from the last. Overwrites the order of `jobs`.
  // REQUIRES: distinct times.
  absl::Status Act(runtime::Executor& executor, const Matrix<const T>& b, std::vector<ActionJob<T>>& jobs);

  // sum [n, n] += time L(time a^T, gradient): matrix_exp.h. REQUIRES: gradient is finite.
  virtual absl::Status AddExpAdjoint(runtime::Executor& executor, double time, const Matrix<const double>& gradient,
                                     const Matrix<double>& sum) = 0;

  // grad_a [n, n] += time L(time a^T, gradient b^T), grad_b [n, p] += exp(time a^T) gradient.
  virtual absl::Status AddActionAdjoint(runtime::Executor& executor, double time, const Matrix<const T>& b,
                                        const Matrix<const T>& gradient, const Matrix<double>& grad_a,
                                        const Matrix<double>& grad_b);

  // Floating-point operations that no report counts: decompositions and gradients.
  double other_flops() const { return other_flops_; }

 protected:
  // out [n, p] = exp(time a) b or exp(time a^T) b, through exp(time a). Fills `report`, whose
  // error_bound is that of a, not of a^T.
  virtual absl::Status ApplyExp(runtime::Executor& executor, double time, bool transposed, const Matrix<const T>& b,
                                const Matrix<T>& out, MatrixExpReport& report);
  virtual double ApplyExpFlops(double time, int64_t p) const = 0;
  // By what factor errors relative to exponential [n, n] may grow in out = exponential b, which is not 0.
  virtual absl::StatusOr<double> Cancellation(runtime::Executor& executor, const Matrix<T>& exponential,
                                              const Matrix<const T>& b, const Matrix<T>& out) const;
  virtual double AdjointFlops(double time) const = 0;

  // As ApplyExp for all jobs, without exp.
  virtual absl::Status ApplySteps(runtime::Executor& executor, const Matrix<const T>& b,
                                  std::vector<ActionJob<T>>& jobs);
  virtual absl::StatusOr<double> ApplyStepsFlops(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs,
                                                 int64_t p);

  double ReportedNorm(double time) const;  // |time a|_1, the largest double where it is more
  absl::Status Overflow(double time) const;
  struct Growth {
    double of_columns = 1;  // |exp| |b| / |out|, at least 1
    double of_any = 1;      // |exp|
  };
  // By what factor errors of the steps may have grown beside out = exp(time a) b.
  absl::StatusOr<Growth> StepsGrowth(runtime::Executor& executor, double time, const Matrix<const T>& b,
                                     const Matrix<T>& out);
  TaylorAction& action();

  runtime::BufferPool& pool_;
  const Matrix<const T> a_;
  double other_flops_ = 0;

 private:
  mutable std::optional<long double> norm_;  // |a|_1, once somebody asked
  std::optional<TaylorAction> action_;
};

template <typename T>
std::unique_ptr<Method<T>> MakeMethod(MatrixStructure structure, runtime::BufferPool& pool, const Matrix<const T>& a);

// Bytes of working memory for one matrix that the action (at p columns) and gradients add to those of exp.
template <typename T>
double MethodBytes(int64_t n, int64_t p, bool acts, bool with_gradients);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_METHOD_H_
