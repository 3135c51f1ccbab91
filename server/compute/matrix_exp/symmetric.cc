#include <algorithm>
#include <cmath>
#include <utility>

#include "server/compute/matrix_exp/lapack.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/spectral.h"

namespace attend::compute {
namespace {

class Symmetric final : public Spectral {
 public:
  Symmetric(Dense basis, std::vector<double> values, int exponent) : Spectral(std::move(basis), exponent) {
    values_ = std::move(values);
  }

  // F = exp(t D) - exp(least of t D) I: no term is negative, nothing cancels.
  Rest Apply(double time, const Matrix<double>& rows) const override {
    const long double scaled = Scaled(time);
    const long double least = scaled * (time >= 0 ? values_.front() : values_.back());
    const long double largest = scaled * (time >= 0 ? values_.back() : values_.front());
    const int64_t exponent = ScaledExp(largest).exponent;
    const auto exp = [&](long double x) {
      const ScaledNumber number = ScaledExp(x);
      return std::ldexp(number.mantissa, static_cast<int>(std::max<int64_t>(number.exponent - exponent, -3000)));
    };
    const double identity = exp(least);
    for (int64_t i = 0; i < rows.rows; ++i) {
      const long double x = scaled * values_[static_cast<size_t>(i)];
      const double factor = x - least > 1 ? exp(x) - identity : identity * std::expm1(static_cast<double>(x - least));
      for (int64_t j = 0; j < rows.cols; ++j) rows.row(i)[j] *= factor;
    }
    return {identity, exponent};
  }

  void AddDerivative(double time, const Matrix<double>& gradient, const Matrix<double>& sum) const override {
    const long double scaled = Scaled(time);
    std::vector<double> exps;
    for (double value : values_) exps.push_back(Exp(scaled * value));
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const auto difference =
            static_cast<double>(scaled * (static_cast<long double>(values_[static_cast<size_t>(i)]) -
                                          values_[static_cast<size_t>(j)]));
        const double x = exps[static_cast<size_t>(i)];
        const double y = exps[static_cast<size_t>(j)];
        double divided = y;
        if (std::fabs(difference) > 2) {
          divided = (x - y) / difference;
        } else if (difference != 0) {
          divided = y * (std::expm1(difference) / difference);
        }
        sum.row(i)[j] += time * divided * gradient.row(i)[j];
      }
    }
  }

  double TransposedTime(double time) const override { return time; }

  absl::Status Polish(runtime::Executor& executor, runtime::BufferPool& pool,
                      const Matrix<double>& exponential) const override {
    for (int64_t i = 0; i < exponential.rows; ++i) {
      for (int64_t j = 0; j < i; ++j) exponential.row(i)[j] = exponential.row(j)[i];
    }
    return absl::OkStatus();
  }
};

}  // namespace

template <typename T>
absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor& executor, runtime::BufferPool& pool,
                                                             const Matrix<const T>& a) {
  const int64_t n = a.rows;
  const Dense matrix(n, n, pool);
  Dense basis(n, n, pool);
  std::vector<double> values(static_cast<size_t>(n));
  const int exponent = LoadScaled(a, matrix.view());
  absl::Status done = SymmetricEigen(executor, pool, n, matrix.data(), values.data(), basis.data());
  if (!done.ok()) return done;
  return std::make_unique<Symmetric>(std::move(basis), std::move(values), exponent);
}

template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                      const Matrix<const float>&);
template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                      const Matrix<const double>&);

}  // namespace attend::compute
