#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/structured_methods.h"

namespace attend::compute {
namespace {

template <typename T>
class DiagonalMethod final : public Method<T> {
 public:
  using Method<T>::Method;

  absl::Status Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                   MatrixExpReport& report) override {
    std::vector<T> exps;
    if (auto done = Exps(time, exps, report); !done.ok()) return done;
    for (int64_t i = 0; i < result.rows; ++i) {
      std::fill_n(result.row(i), result.cols, T{0});
      result.row(i)[i] = exps[static_cast<size_t>(i)];
    }
    return absl::OkStatus();
  }

  // Entries are multiplied by divided differences of exp: Daleckii and Krein 1965 with the identity as eigenbasis.
  absl::Status AddExpAdjoint(runtime::Executor& executor, double time, const Matrix<const double>& gradient,
                             const Matrix<double>& sum) override {
    for (int64_t i = 0; i < sum.rows; ++i) {
      for (int64_t j = 0; j < sum.cols; ++j) sum.row(i)[j] += Derivative(time, i, j) * gradient.row(i)[j];
    }
    return executor.cancellation().Check();
  }

  absl::Status AddActionAdjoint(runtime::Executor& executor, double time, const Matrix<const T>& b,
                                const Matrix<const T>& gradient, const Matrix<double>& grad_a,
                                const Matrix<double>& grad_b) override {
    for (int64_t i = 0; i < grad_a.rows; ++i) {
      const long double exponential = std::exp(Exponent(time, i));
      for (int64_t k = 0; k < b.cols; ++k) {
        grad_b.row(i)[k] += static_cast<double>(exponential * static_cast<long double>(gradient.row(i)[k]));
      }
      for (int64_t j = 0; j < grad_a.cols; ++j) {
        double outer = 0;
        for (int64_t k = 0; k < b.cols; ++k) outer += static_cast<double>(gradient.row(i)[k]) * b.row(j)[k];
        grad_a.row(i)[j] += Derivative(time, i, j) * outer;
      }
    }
    this->other_flops_ += 2.0 * static_cast<double>(grad_a.rows * grad_a.cols * b.cols);
    return executor.cancellation().Check();
  }

 protected:
  absl::Status ApplyExp(runtime::Executor& executor, double time, bool transposed, const Matrix<const T>& b,
                        const Matrix<T>& out, MatrixExpReport& report) override {
    std::vector<T> unused;
    const absl::Status fits = Exps(time, unused, report);
    if (!fits.ok() && !absl::IsOutOfRange(fits)) return fits;
    for (int64_t i = 0; i < b.rows; ++i) {
      const ScaledNumber factor = ScaledExp(Exponent(time, i));
      const int exponent = static_cast<int>(std::clamp<int64_t>(factor.exponent, -10000, 10000));
      for (int64_t j = 0; j < b.cols; ++j) {
        const long double product = static_cast<long double>(factor.mantissa) * static_cast<long double>(b.row(i)[j]);
        out.row(i)[j] = static_cast<T>(std::ldexp(product, exponent));
        if (!std::isfinite(out.row(i)[j])) return this->Overflow(time);
      }
    }
    report.error_bound = 2 * std::numeric_limits<T>::epsilon();
    return absl::OkStatus();
  }
  double ApplyExpFlops(double time, int64_t p) const override { return 0; }
  double AdjointFlops(double time) const override { return 0; }
  absl::StatusOr<double> ApplyStepsFlops(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs,
                                         int64_t p) override {
    return std::numeric_limits<double>::infinity();
  }

 private:
  long double Exponent(double time, int64_t i) const {
    return static_cast<long double>(time) * static_cast<long double>(this->a_.row(i)[i]);
  }

  double Derivative(double time, int64_t i, int64_t j) const {
    return static_cast<double>(time * ExpDividedDifference(Exponent(time, i), Exponent(time, j)));
  }

  absl::Status Exps(double time, std::vector<T>& exps, MatrixExpReport& report) const {
    report.structure = MatrixStructure::kDiagonal;
    report.norm1 = this->ReportedNorm(time);
    T largest = 0;
    for (int64_t i = 0; i < this->a_.rows; ++i) {
      exps.push_back(static_cast<T>(std::exp(Exponent(time, i))));
      largest = std::max(largest, exps.back());
    }
    if (!std::isfinite(largest)) return this->Overflow(time);
    report.error_bound = std::numeric_limits<T>::epsilon();
    if (largest < std::numeric_limits<T>::min()) {  // of a number whose last digits are gone
      report.error_bound = largest == 0 ? 1 : static_cast<double>(std::numeric_limits<T>::denorm_min() / largest);
    }
    return absl::OkStatus();
  }
};

}  // namespace

template <typename T>
std::unique_ptr<Method<T>> MakeDiagonalMethod(runtime::BufferPool& pool, const Matrix<const T>& a) {
  return std::make_unique<DiagonalMethod<T>>(pool, a);
}

template std::unique_ptr<Method<float>> MakeDiagonalMethod(runtime::BufferPool&, const Matrix<const float>&);
template std::unique_ptr<Method<double>> MakeDiagonalMethod(runtime::BufferPool&, const Matrix<const double>&);

}  // namespace attend::compute
