#include "server/compute/matrix_exp/exp_adjoint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/shifted_matrix.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Degree 16 in blocks of 4 powers: for a step of at most 2^-0.6 the remainder is below 2^-56 of the sum.
constexpr int kBlock = 4;
constexpr int kBlocks = 4;
constexpr double kLog2Step = -0.6;
// Powers of matrix and derivative, their sums, a spare, and the direction on the way in.
constexpr int kMatrices = 2 * kBlock + 5;

int64_t SquaringsFor(double log2_norm) { return static_cast<int64_t>(std::max(0.0, std::ceil(log2_norm - kLog2Step))); }

// exp and its derivative in one direction, both of one matrix.
class DerivativePair {
 public:
  DerivativePair(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n)
      : executor_(executor), value_(n, n, pool), slope_(n, n, pool), spare_(n, n, pool) {
    for (Dense& power : powers_) power = Dense(n, n, pool);
    for (Dense& slope : slopes_) slope = Dense(n, n, pool);
  }

  // The inputs, to be filled in: the matrix of the first step and the direction.
  const Dense& step() const { return powers_[0]; }
  const Dense& direction() const { return slopes_[0]; }
  const Dense& slope() const { return slope_; }

  absl::Status FormPowers() {
    for (size_t k = 1; k < kBlock; ++k) {
      if (auto done = Multiply(powers_[0], powers_[k - 1], powers_[k]); !done.ok()) return done;
      if (auto done = SumOfProducts(powers_[0], slopes_[k - 1], slopes_[0], powers_[k - 1], slopes_[k]); !done.ok()) {
        return done;
      }
    }
    return absl::OkStatus();
  }

  absl::Status SumSeries() {
    std::array<double, kBlock * kBlocks + 1> inverse_factorials{1};
    for (int k = 1; k <= kBlock * kBlocks; ++k) inverse_factorials[k] = inverse_factorials[k - 1] / k;
    SetZero(value_.view());
    SetZero(slope_.view());
    for (int part = kBlocks - 1; part >= 0; --part) {
      const bool highest = part == kBlocks - 1;
      if (!highest) {
        if (auto done = MultiplyByBlock(); !done.ok()) return done;
      }
      const double* coefficients = inverse_factorials.data() + part * kBlock;
      for (int k = 1; k < kBlock + (highest ? 1 : 0); ++k) {
        AddScaled(coefficients[k], powers_[k - 1], value_);
        AddScaled(coefficients[k], slopes_[k - 1], slope_);
      }
      for (int64_t i = 0; i < value_.rows(); ++i) value_.view().row(i)[i] += coefficients[0];
    }
    return absl::OkStatus();
  }

  void Multiply(double factor) {
    for (int64_t i = 0; i < value_.size(); ++i) value_.data()[i] *= factor;
    for (int64_t i = 0; i < slope_.size(); ++i) slope_.data()[i] *= factor;
  }

  // L(2A, 2E) = exp(A) L(A, E) + L(A, E) exp(A); halved, as the direction stays the same.
  absl::Status Square() {
    if (auto done = SumOfProducts(value_, slope_, slope_, value_, spare_); !done.ok()) return done;
    std::swap(slope_, spare_);
    for (int64_t i = 0; i < slope_.size(); ++i) slope_.data()[i] *= 0.5;
    if (auto done = Multiply(value_, value_, spare_); !done.ok()) return done;
    std::swap(value_, spare_);
    return absl::OkStatus();
  }

  bool vanished() const { return MaxAbs(AsConst(value_.view())) == 0 && MaxAbs(AsConst(slope_.view())) == 0; }

 private:
  absl::Status Multiply(const Dense& a, const Dense& b, const Dense& c) {
    return ParallelGemm(executor_, 1.0, a.view(), b.view(), 0.0, c.view());
  }

  // out = a b + c d
  absl::Status SumOfProducts(const Dense& a, const Dense& b, const Dense& c, const Dense& d, const Dense& out) {
    if (auto done = Multiply(a, b, out); !done.ok()) return done;
    return ParallelGemm(executor_, 1.0, c.view(), d.view(), 1.0, out.view());
  }

  absl::Status MultiplyByBlock() {
    if (auto done = SumOfProducts(slope_, powers_.back(), value_, slopes_.back(), spare_); !done.ok()) return done;
    std::swap(slope_, spare_);
    if (auto done = Multiply(value_, powers_.back(), spare_); !done.ok()) return done;
    std::swap(value_, spare_);
    return absl::OkStatus();
  }

  static void AddScaled(double coefficient, const Dense& from, const Dense& to) {
    for (int64_t i = 0; i < to.size(); ++i) to.data()[i] += coefficient * from.data()[i];
  }

  runtime::Executor& executor_;
  Dense value_;
  Dense slope_;
  Dense spare_;
  std::array<Dense, kBlock> powers_;  // B, B^2, ...
  std::array<Dense, kBlock> slopes_;  // their derivatives
};

// The derivative is wanted at the transpose: L(A^T, G) = L(A, G^T)^T. Returns the exponent of the direction.
int FillDirection(const Matrix<const double>& gradient, const Matrix<double>& direction) {
  int exponent = 0;
  std::frexp(MaxAbs(gradient), &exponent);
  const PowerOfTwo to_unit(-exponent);
  for (int64_t i = 0; i < gradient.rows; ++i) {
    for (int64_t j = 0; j < gradient.cols; ++j) direction.row(j)[i] = to_unit(gradient.row(i)[j]);
  }
  return exponent;
}

// sum += slope^T * time 2^exponent; false where that is not finite.
bool AddTransposed(const Matrix<double>& slope, int exponent, double time, const Matrix<double>& sum) {
  int time_exponent = 0;
  const double mantissa = std::frexp(time, &time_exponent);
  const PowerOfTwo from_unit(std::clamp(exponent + time_exponent, -2000, 2000));
  bool finite = true;
  for (int64_t i = 0; i < slope.rows; ++i) {
    for (int64_t j = 0; j < slope.cols; ++j) {
      const double entry = slope.row(j)[i] * mantissa;
      if (entry == 0) continue;
      sum.row(i)[j] += from_unit(entry);
      finite = finite && std::isfinite(sum.row(i)[j]);
    }
  }
  return finite;
}

}  // namespace

template <typename T>
absl::Status AddExpAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& a,
                           double time, const Matrix<const double>& gradient, const Matrix<double>& sum) {
  const ShiftedMatrix shifted(a, pool);
  DerivativePair pair(executor, pool, a.rows);
  const int64_t squarings = SquaringsFor(shifted.LogNorm(time));
  const double scale = shifted.Scale(time, squarings);
  for (int64_t i = 0; i < pair.step().size(); ++i) pair.step().data()[i] = scale * shifted.c().data()[i];
  const int exponent = FillDirection(gradient, pair.direction().view());
  if (auto done = pair.FormPowers(); !done.ok()) return done;
  if (auto done = pair.SumSeries(); !done.ok()) return done;
  pair.Multiply(Exp(std::ldexp(shifted.ShiftBy(time), -static_cast<int>(squarings))));
  for (int64_t k = 0; k < squarings && !pair.vanished(); ++k) {
    if (auto done = pair.Square(); !done.ok()) return done;
  }
  if (AddTransposed(pair.slope().view(), exponent, time, sum)) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("the gradient of exp overflows at norm ", shifted.ReportedNorm(time),
                                            " of time * a, time = ", time));
}

double ExpAdjointBytes(int64_t n) {
  return (kMatrices + 1) * static_cast<double>(n) * static_cast<double>(n) * sizeof(double);
}

double ExpAdjointFlops(int64_t n, double norm) {
  const auto size = static_cast<double>(n);
  const double squarings = norm > 0 ? static_cast<double>(SquaringsFor(std::log2(norm))) : 0;
  return (3.0 * (kBlock - 1 + kBlocks - 1) + 3 * squarings) * 2 * size * size * size;
}

template absl::Status AddExpAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                    const Matrix<const double>&, const Matrix<double>&);
template absl::Status AddExpAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                    const Matrix<const double>&, const Matrix<double>&);

}  // namespace attend::compute
