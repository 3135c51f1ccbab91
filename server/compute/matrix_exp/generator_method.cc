#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/frechet.h"
#include "server/compute/matrix_exp/general_method.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/structure.h"
#include "server/compute/matrix_exp/structured_methods.h"

namespace attend::compute {
namespace {

template <typename T>
class GeneratorMethod final : public GeneralMethod<T> {
 public:
  GeneratorMethod(runtime::BufferPool& pool, const Matrix<const T>& a)
      : GeneralMethod<T>(pool, a), row_sum_(GeneratorRowSum(a).value_or(0)) {
    for (int64_t i = 0; i < a.rows; ++i) rate_ = std::max(rate_, std::fabs(static_cast<double>(a.row(i)[i])));
  }

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                   MatrixExpReport& report) override {
    absl::Status done = GeneratorExp(executor, this->pool_, this->a_, time, result, report);
    report.error_bound += RowSumError(time);
    return done;
  }

  // GeneratorExpEntryAdjoint reads a gradient of T: it gets this one in units in which nothing overflows.
  absl::Status AddExpAdjoint(runtime::Executor& executor, double time, const Matrix<const double>& gradient,
                             const Matrix<double>& sum) override {
    const int64_t n = this->a_.rows;
    const auto size = static_cast<size_t>(n * n);
    const runtime::Buffer buffers[] = {this->pool_.template AllocateArray<T>(size),
                                       this->pool_.template AllocateArray<T>(size),
                                       this->pool_.template AllocateArray<T>(size)};
    const Matrix<T> unit(buffers[0].template as<T>(), n, n);
    const Matrix<T> exponential(buffers[1].template as<T>(), n, n);
    const Matrix<T> slope(buffers[2].template as<T>(), n, n);
    int exponent = 0;
    std::frexp(MaxAbs(gradient), &exponent);
    Scale(gradient, -exponent, unit);
    this->other_flops_ += AdjointFlops(time);
    auto done = GeneratorExpEntryAdjoint<T>(executor, this->pool_, this->a_, time, AsConst(unit), exponential, slope);
    if (!done.ok()) return done;
    const PowerOfTwo back(exponent);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        sum.row(i)[j] += back(static_cast<double>(slope.row(i)[j]));
        if (!std::isfinite(sum.row(i)[j])) return this->Overflow(time);
      }
    }
    return absl::OkStatus();
  }

 protected:
  double ApplyExpFlops(double time, int64_t p) const override {
    const auto n = static_cast<double>(this->a_.rows);
    return GeneratorExpFlops<T>(this->a_.rows, rate_ * time) + 2 * n * n * static_cast<double>(p);
  }
  double AdjointFlops(double time) const override { return GeneratorExpAdjointFlops(this->a_.rows, rate_ * time); }

  absl::StatusOr<double> ApplyStepsFlops(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs,
                                         int64_t p) override {
    double flops = 0;
    for (const ActionJob<T>& job : jobs) flops += GeneratorActionFlops<T>(this->a_.rows, p, rate_ * job.time);
    return flops;
  }

  // Each from b itself: what one time settled would be lost in the next one's first products.
  absl::Status ApplySteps(runtime::Executor& executor, const Matrix<const T>& b,
                          std::vector<ActionJob<T>>& jobs) override {
    for (const ActionJob<T>& job : jobs) {
      int64_t products = 0;
      auto done = GeneratorAction(executor, this->pool_, this->a_, job.time, b, job.result, &products);
      if (!done.ok()) return done;
      MatrixExpReport& report = *job.report;
      report.structure = MatrixStructure::kGenerator;
      report.norm1 = this->ReportedNorm(job.time);
      report.degree = report.action_products = static_cast<uint32_t>(std::min<int64_t>(products, 0xffffffff));
      report.squarings = products > 0 ? 1 : 0;
      report.error_bound = RelativeError(b, job.result) + RowSumError(job.time);
    }
    return absl::OkStatus();
  }

 private:
  // The diagonal as it came may differ from minus the sum of its row by rounding.
  double RowSumError(double time) const { return std::expm1(std::min(time * row_sum_, 1.0)); }

  // 4 units of roundoff of the largest entry of each column (generator.h), in the 1-norm.
  double RelativeError(const Matrix<const T>& b, const Matrix<T>& result) const {
    const double norm = NormOne(AsConst(result));
    if (norm == 0) return 0;
    const double error = 2 * std::numeric_limits<T>::epsilon() * MaxAbs(b) * static_cast<double>(b.rows);
    return std::min(1e300, error / norm);
  }

  static void Scale(const Matrix<const double>& from, int exponent, const Matrix<T>& to) {
    const PowerOfTwo scale(exponent);
    for (int64_t i = 0; i < from.rows; ++i) {
      for (int64_t j = 0; j < from.cols; ++j) to.row(i)[j] = static_cast<T>(scale(from.row(i)[j]));
    }
  }

  const double row_sum_;
  double rate_ = 0;  // max |a_ii|
};

}  // namespace

template <typename T>
std::unique_ptr<Method<T>> MakeGeneratorMethod(runtime::BufferPool& pool, const Matrix<const T>& a) {
  return std::make_unique<GeneratorMethod<T>>(pool, a);
}

template std::unique_ptr<Method<float>> MakeGeneratorMethod(runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeGeneratorMethod(runtime::BufferPool&, const Matrix<const double>&);

}  // namespace attend::compute
