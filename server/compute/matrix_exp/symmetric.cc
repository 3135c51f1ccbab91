#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/decompositions.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/spectral.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr int64_t kStridedPasses = 4;  // what an entry beside its mirror image costs, in entries along a row

class Symmetric final : public Spectral {
 public:
  Symmetric(Dense basis, std::vector<double> values, double shift, int exponent)
      : Spectral(std::move(basis), exponent) {
    values_ = std::move(values);
    shift_ = shift;
  }

  // F = exp(t D) - exp(least of t D) I, of the rows that are not 0: no term is negative, nothing cancels.
  Rest Apply(double time, const Matrix<double>& rows) const override {
    const long double scaled = Scaled(time);
    long double least = std::numeric_limits<long double>::infinity();
    long double largest = -least;
    for (int64_t i = 0; i < rows.rows; ++i) {
      const long double x = scaled * Eigenvalue(i);
      if (IsZero(rows.row(i), rows.cols)) continue;
      least = std::min(least, x);
      largest = std::max(largest, x);
    }
    if (largest < least) return {0, 0};
    const int64_t exponent = ScaledExp(largest).exponent;
    const auto exp = [&](long double x) {
      const ScaledNumber number = ScaledExp(x);
      return std::ldexp(number.mantissa, static_cast<int>(std::max<int64_t>(number.exponent - exponent, -3000)));
    };
    const double identity = exp(least);
    for (int64_t i = 0; i < rows.rows; ++i) {
      if (IsZero(rows.row(i), rows.cols)) continue;
      const long double x = scaled * Eigenvalue(i);
      const double factor = x - least > 1 ? exp(x) - identity : identity * std::expm1(static_cast<double>(x - least));
      for (int64_t j = 0; j < rows.cols; ++j) rows.row(i)[j] *= factor;
    }
    return {identity, exponent};
  }

  long double LogGrowth(double time, const std::vector<bool>& support) const override {
    const long double scaled = Scaled(time);
    long double largest = -std::numeric_limits<long double>::infinity();
    for (int64_t i = 0; i < n(); ++i) {
      const double* vector = basis_.view().row(i);
      bool touched = false;
      for (int64_t j = 0; j < n(); ++j) touched = touched || (support[static_cast<size_t>(j)] && vector[j] != 0);
      if (touched) largest = std::max(largest, scaled * Eigenvalue(i));
    }
    return largest;
  }

  void AddDerivative(double time, const Matrix<double>& gradient, const Matrix<double>& sum) const override {
    const long double scaled = Scaled(time);
    std::vector<double> exps;
    for (int64_t i = 0; i < n(); ++i) exps.push_back(Exp(scaled * Eigenvalue(i)));
    for (int64_t i = 0; i < n(); ++i) {
      for (int64_t j = 0; j < n(); ++j) {
        const auto difference = static_cast<double>(
            scaled * (static_cast<long double>(values_[static_cast<size_t>(i)]) - values_[static_cast<size_t>(j)]));
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
    return ForEachPanel(executor, exponential.rows, kStridedPasses * n(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t j = 0; j < i; ++j) exponential.row(i)[j] = exponential.row(j)[i];
      }
    });
  }

 private:
  long double Eigenvalue(int64_t i) const { return static_cast<long double>(shift_) + values_[static_cast<size_t>(i)]; }

  static bool IsZero(const double* row, int64_t count) {
    return std::all_of(row, row + count, [](double x) { return x == 0; });
  }

  absl::Status SubtractExpected(runtime::Executor& executor, const Matrix<double>& images) const override {
    return ForEachPanel(executor, n(), n(), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const double value = values_[static_cast<size_t>(i)];
        for (int64_t j = 0; j < n(); ++j) images.row(i)[j] -= value * basis_.view().row(i)[j];
      }
    });
  }

  // The symmetric part of `change` makes the basis orthogonal, the antisymmetric one turns it: kept apart, rounding
  // stays that small.
  absl::Status Correct(runtime::Executor& executor, const Matrix<double>& rest, const Matrix<double>& change) override {
    // Vectors of closer eigenvalues may turn into each other as they like.
    const double close = 1e-6 * std::max(std::fabs(values_.front()), std::fabs(values_.back()));
    std::vector<double> refined = values_;
    const auto done = ForEachPanel(executor, n(), kStridedPasses * n(), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) {
        refined[static_cast<size_t>(j)] += change.row(j)[j];
        change.row(j)[j] = (1 - rest.row(j)[j]) / 2;
        for (int64_t i = 0; i < j; ++i) {
          const double gap = values_[static_cast<size_t>(j)] - values_[static_cast<size_t>(i)];
          const double mean = (change.row(j)[i] + change.row(i)[j]) / 2;
          const double turn = std::fabs(gap) > close ? mean / gap : 0;
          change.row(j)[i] = turn - rest.row(j)[i] / 2;
          change.row(i)[j] = -turn - rest.row(j)[i] / 2;
        }
      }
    });
    values_ = std::move(refined);
    return done;
  }
};

double MeanDiagonal(const Matrix<double>& a) {
  double mean = 0;
  for (int64_t i = 0; i < a.rows; ++i) mean += a.row(i)[i] / static_cast<double>(a.rows);
  return mean;
}

// What a multiple of I adds to A would hide what else there is from eigenvalues and their refinement.
template <typename T>
int LoadShifted(const Matrix<const T>& a, const Matrix<double>& to, double& shift) {
  const int exponent = LoadScaled(a, to);
  shift = MeanDiagonal(to);
  for (int64_t i = 0; i < to.rows; ++i) to.row(i)[i] -= shift;
  return exponent;
}

}  // namespace

template <typename T>
absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor& executor, runtime::BufferPool& pool,
                                                             const Matrix<const T>& a) {
  const int64_t n = a.rows;
  const Dense matrix(n, n, pool);
  Dense basis(n, n, pool);
  std::vector<double> values(static_cast<size_t>(n));
  double shift = 0;
  const int exponent = LoadShifted(a, matrix.view(), shift);
  absl::Status done = SymmetricEigen(executor, pool, n, matrix.data(), values.data(), basis.data());
  if (!done.ok()) return done;
  auto symmetric = std::make_unique<Symmetric>(std::move(basis), std::move(values), shift, exponent);
  LoadShifted(a, matrix.view(), shift);
  if (done = symmetric->Refine(executor, pool, matrix.view()); !done.ok()) return done;
  return symmetric;
}

template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                      const Matrix<const float>&);
template absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor&, runtime::BufferPool&,
                                                                      const Matrix<const double>&);

}  // namespace attend::compute
