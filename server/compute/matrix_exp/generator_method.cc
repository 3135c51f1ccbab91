#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/frechet.h"
#include "server/compute/matrix_exp/general_method.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/structure.h"
#include "server/compute/matrix_exp/structured_methods.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

template <typename T>
class GeneratorMethod final : public GeneralMethod<T> {
 public:
  GeneratorMethod(runtime::BufferPool& pool, const Matrix<const T>& a)
      : GeneralMethod<T>(pool, a), exps_(pool, a), row_sum_(GeneratorRowSum(a).value_or(0)) {
    for (int64_t i = 0; i < a.rows; ++i) rate_ = std::max(rate_, std::fabs(static_cast<double>(a.row(i)[i])));
  }

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                   MatrixExpReport& report) override {
    return Exps(executor, {{time, result, &report}});
  }

  absl::Status Exps(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs) override {
    std::vector<GeneratorExpJob<T>> exp_jobs;
    for (const ActionJob<T>& job : jobs) exp_jobs.push_back({job.time, job.result, job.report});
    absl::Status done = exps_.Run(executor, exp_jobs);
    for (const ActionJob<T>& job : jobs) job.report->error_bound += RowSumError(job.time);
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
      const absl::StatusOr<bool> decays = LosesToDecay(executor, b, job);
      if (!decays.ok()) return decays.status();
      if (*decays) {
        if (done = this->ApplyExp(executor, job.time, false, b, job.result, *job.report); !done.ok()) return done;
        continue;
      }
      MatrixExpReport& report = *job.report;
      report.structure = MatrixStructure::kGenerator;
      report.norm1 = this->ReportedNorm(job.time);
      report.degree = report.action_products = static_cast<uint32_t>(std::min<int64_t>(products, 0xffffffff));
      report.squarings = products > 0 ? 1 : 0;
      report.error_bound = RelativeError(b, job.result) + RowSumError(job.time);
    }
    return absl::OkStatus();
  }

  // |exp| |b| beside |exp b|: exp is accurate by entries, so that only b's signs cancel.
  absl::StatusOr<double> Cancellation(runtime::Executor& executor, const Matrix<T>& exponential,
                                      const Matrix<const T>& b, const Matrix<T>& out) const override {
    const auto size = static_cast<size_t>(b.rows * b.cols);
    const runtime::Buffer buffers[] = {this->pool_.template AllocateArray<T>(size),
                                       this->pool_.template AllocateArray<T>(size)};
    const Matrix<T> absolute(buffers[0].template as<T>(), b.rows, b.cols);
    const Matrix<T> sums(buffers[1].template as<T>(), b.rows, b.cols);
    for (int64_t i = 0; i < b.rows; ++i) {
      for (int64_t j = 0; j < b.cols; ++j) absolute.row(i)[j] = std::fabs(b.row(i)[j]);
    }
    const Operand<T> left(exponential);
    if (auto done = ParallelGemm(executor, T{1}, left, absolute, T{0}, sums); !done.ok()) return done;
    return std::max(1.0, NormOne(AsConst(sums)) / NormOne(AsConst(out)));
  }

 private:
  // The diagonal as it came may differ from minus the sum of its row by rounding.
  double RowSumError(double time) const { return std::expm1(std::min(time * row_sum_, 1.0)); }

  // 4 units of roundoff of the largest entry of each column (generator.h), in the 1-norm.
  double RelativeError(const Matrix<const T>& b, const Matrix<T>& result) const {
    const double largest = MaxAbs(b);
    if (largest == 0) return 0;
    const double error = 2 * std::numeric_limits<T>::epsilon() * largest * static_cast<double>(b.rows);
    return std::min(1e300, error / NormOne(AsConst(result)));
  }

  // Whether the action has lost digits of a column that exp(tG), accurate by entries, keeps: where exp(tG) |b| is as
  // far below the largest |b| as the result is. Elsewhere b's signs cancel, and no way helps.
  absl::StatusOr<bool> LosesToDecay(runtime::Executor& executor, const Matrix<const T>& b,
                                    const ActionJob<T>& job) const {
    // In units of 4 units of roundoff. A digit is worth three times the operations.
    const double flops = ApplyExpFlops(job.time, 1) / GeneratorActionFlops<T>(b.rows, 1, rate_ * job.time);
    const double most = std::max(16.0, flops * flops);
    std::vector<int64_t> signed_columns;
    for (int64_t j = 0; j < b.cols; ++j) {
      const Fall fall = FallOf(b, job.result, j);
      if (!fall.Exceeds(most)) continue;
      if (fall.one_sign) return true;
      signed_columns.push_back(j);
    }
    if (signed_columns.empty()) return false;
    const auto p = static_cast<int64_t>(signed_columns.size());
    const auto size = static_cast<size_t>(b.rows * p);
    const runtime::Buffer buffers[] = {this->pool_.template AllocateArray<T>(size),
                                       this->pool_.template AllocateArray<T>(size)};
    const Matrix<T> absolute(buffers[0].template as<T>(), b.rows, p);
    const Matrix<T> sums(buffers[1].template as<T>(), b.rows, p);
    for (int64_t i = 0; i < b.rows; ++i) {
      for (int64_t j = 0; j < p; ++j) absolute.row(i)[j] = std::fabs(b.row(i)[signed_columns[static_cast<size_t>(j)]]);
    }
    if (auto done = GeneratorAction(executor, this->pool_, this->a_, job.time, AsConst(absolute), sums); !done.ok()) {
      return done;
    }
    for (int64_t j = 0; j < p; ++j) {
      if (FallOf(AsConst(absolute), sums, j).Exceeds(most)) return true;
    }
    return false;
  }

  // How far a column's entries are below the largest of b's.
  struct Fall {
    double before = 0;  // n times b's largest |entry|
    double after = 0;   // the sum of the result's
    bool one_sign = true;

    bool Exceeds(double factor) const { return before > factor * after; }
  };
  static Fall FallOf(const Matrix<const T>& b, const Matrix<T>& result, int64_t column) {
    Fall fall;
    double least = 0;
    double largest = 0;
    for (int64_t i = 0; i < b.rows; ++i) {
      least = std::min(least, static_cast<double>(b.row(i)[column]));
      largest = std::max(largest, static_cast<double>(b.row(i)[column]));
      fall.after += std::fabs(static_cast<double>(result.row(i)[column]));
    }
    fall.before = std::max(-least, largest) * static_cast<double>(b.rows);
    fall.one_sign = least == 0 || largest == 0;
    return fall;
  }

  static void Scale(const Matrix<const double>& from, int exponent, const Matrix<T>& to) {
    const PowerOfTwo scale(exponent);
    for (int64_t i = 0; i < from.rows; ++i) {
      for (int64_t j = 0; j < from.cols; ++j) to.row(i)[j] = static_cast<T>(scale(from.row(i)[j]));
    }
  }

  GeneratorExps<T> exps_;
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
