#include "server/compute/matrix_exp/frechet.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/generator_rates.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/wide_matrix.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Degree 16 in blocks of 4 powers: for a step of at most 2^-0.6 the remainder is below 2^-56 of the sum.
constexpr int kBlock = 4;
constexpr int kBlocks = 4;
constexpr double kLog2Step = -0.6;
// Powers of matrix and derivative, their sums, and one spare.
constexpr int kMatrices = 2 * kBlock + 4;

Matrix<double> View(const WideMatrix& a) { return Matrix<double>(a.hi(), a.n(), a.n()); }

// A matrix and its derivative.
struct Pair {
  Pair(int64_t n, runtime::BufferPool& pool) : value(n, Precision::kDouble, pool), slope(n, Precision::kDouble, pool) {}

  WideMatrix value;
  WideMatrix slope;
};

void SetZero(const WideMatrix& a) { std::fill_n(a.hi(), a.n() * a.n(), 0.0); }

// out = alpha * (a b + c d)
absl::Status SumOfProducts(runtime::Executor& executor, double alpha, const WideMatrix& a, const WideMatrix& b,
                           const WideMatrix& c, const WideMatrix& d, const WideMatrix& out) {
  absl::Status done = ParallelGemm(executor, alpha, View(a), View(b), 0.0, View(out));
  if (!done.ok()) return done;
  return ParallelGemm(executor, alpha, View(c), View(d), 1.0, View(out));
}

int64_t SquaringsFor(double log2_rate_time) {
  return static_cast<int64_t>(std::max(0.0, std::ceil(log2_rate_time - kLog2Step)));
}

// The exponential of a generator and its derivative in one direction.
class PairExp {
 public:
  PairExp(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n)
      : executor_(executor), pool_(pool), result_(n, pool), spare_(n, Precision::kDouble, pool) {
    powers_.emplace_back(n, Precision::kDouble, pool);
    slopes_.emplace_back(n, Precision::kDouble, pool);
  }

  // The two inputs, to be filled in: the step (time * g + rate I) / 2^squarings, entries >= 0, and the direction.
  const WideMatrix& step() const { return powers_[0]; }
  const WideMatrix& direction() const { return slopes_[0]; }
  const Pair& result() const { return result_; }

  // result = exp(time * g) and L(time * g, direction). step_rate = rate / 2^squarings.
  absl::Status Run(int64_t squarings, double step_rate) {
    if (absl::Status done = FormPowers(); !done.ok()) return done;
    if (absl::Status done = SumSeries(); !done.ok()) return done;
    powers_.clear();
    slopes_.clear();
    // The shift by the rate comes out of the exponential as its rows are made to sum to 1.
    if (absl::Status done = NormalizeRows(executor_, result_.value); !done.ok()) return done;
    const double unshift = std::exp(-step_rate);
    const int64_t entries = result_.slope.n() * result_.slope.n();
    for (int64_t i = 0; i < entries; ++i) result_.slope.hi()[i] *= unshift;
    bool settled = false;
    for (int64_t k = 0; k < squarings && !settled; ++k) {
      if (absl::Status done = Square(settled); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status FormPowers();
  absl::Status SumSeries();
  absl::Status Square(bool& settled);

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  Pair result_;
  WideMatrix spare_;
  std::vector<WideMatrix> powers_;  // B, B^2, ...
  std::vector<WideMatrix> slopes_;  // their derivatives
};

absl::Status PairExp::FormPowers() {
  for (size_t k = 1; k < kBlock; ++k) {
    powers_.emplace_back(spare_.n(), Precision::kDouble, pool_);
    slopes_.emplace_back(spare_.n(), Precision::kDouble, pool_);
    absl::Status done = Multiply(executor_, pool_, powers_[0], powers_[k - 1], powers_[k]);
    if (!done.ok()) return done;
    done = SumOfProducts(executor_, 1, powers_[0], slopes_[k - 1], slopes_[0], powers_[k - 1], slopes_[k]);
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

absl::Status PairExp::SumSeries() {
  std::vector<double> inverse_factorials{1};
  for (int k = 1; k <= kBlock * kBlocks; ++k) inverse_factorials.push_back(inverse_factorials.back() / k);
  SetZero(result_.value);
  SetZero(result_.slope);
  for (int part = kBlocks - 1; part >= 0; --part) {
    const bool highest = part == kBlocks - 1;
    if (!highest) {
      const WideMatrix& power = powers_.back();
      absl::Status done = SumOfProducts(executor_, 1, result_.slope, power, result_.value, slopes_.back(), spare_);
      if (!done.ok()) return done;
      std::swap(result_.slope, spare_);
      if (done = Multiply(executor_, pool_, result_.value, power, spare_); !done.ok()) return done;
      std::swap(result_.value, spare_);
    }
    std::vector<DoubleDouble> coefficients;
    for (int k = 0; k < kBlock + (highest ? 1 : 0); ++k) {
      coefficients.push_back({inverse_factorials[static_cast<size_t>(part * kBlock + k)], 0});
    }
    absl::Status done = AddPolynomial(executor_, coefficients, powers_, result_.value);
    if (!done.ok()) return done;
    coefficients[0] = {};
    if (done = AddPolynomial(executor_, coefficients, slopes_, result_.slope); !done.ok()) return done;
  }
  return absl::OkStatus();
}

// Whether no entry moved by more than a roundoff of the largest.
bool SettledInNorm(const WideMatrix& before, const WideMatrix& after) {
  const int64_t entries = after.n() * after.n();
  double largest = 0;
  double moved = 0;
  for (int64_t i = 0; i < entries; ++i) {
    largest = std::max(largest, std::fabs(after.hi()[i]));
    moved = std::max(moved, std::fabs(after.hi()[i] - before.hi()[i]));
  }
  return moved <= 0x1p-52 * largest;
}

// L(2A, 2E) = exp(A) L(A, E) + L(A, E) exp(A); halved, as the direction stays the same.
absl::Status PairExp::Square(bool& settled) {
  const WideMatrix& x = result_.value;
  absl::Status done = SumOfProducts(executor_, 0.5, x, result_.slope, result_.slope, x, spare_);
  if (!done.ok()) return done;
  settled = SettledInNorm(result_.slope, spare_);
  std::swap(result_.slope, spare_);
  if (done = Multiply(executor_, pool_, x, x, spare_); !done.ok()) return done;
  if (done = NormalizeRows(executor_, spare_); !done.ok()) return done;
  settled = settled && Agree(result_.value, spare_, 0x1p-44);
  std::swap(result_.value, spare_);
  return absl::OkStatus();
}

// (time * g + rate I) / 2^squarings; returns rate / 2^squarings.
template <typename T>
double FillStep(const Matrix<const T>& g, const Rates& rates, int64_t squarings, const WideMatrix& step) {
  const PowerOfTwo to_unit(-rates.g_exponent);
  const PowerOfTwo to_step(rates.exponent - static_cast<int>(squarings));
  for (int64_t i = 0; i < g.rows; ++i) {
    double* row = step.hi() + i * g.cols;
    for (int64_t j = 0; j < g.cols; ++j) {
      row[j] = to_step(to_unit(static_cast<double>(g.row(i)[j])) * rates.time_mantissa);
    }
    row[i] = to_step((rates.largest + -rates.row[static_cast<size_t>(i)]) * rates.time_mantissa).hi;
  }
  return to_step(rates.largest.hi * rates.time_mantissa);
}

// a^T 2^-exponent, the largest entry in [1/2, 1).
template <typename T>
int FillDirection(const Matrix<const T>& a, const WideMatrix& direction) {
  int exponent = 0;
  std::frexp(MaxAbs(a), &exponent);
  const PowerOfTwo to_unit(-exponent);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) direction.hi()[j * a.rows + i] = to_unit(static_cast<double>(a.row(i)[j]));
  }
  return exponent;
}

enum class Variable { kEntry, kRate };

template <Variable kVariable, typename T>
void StoreResult(const Pair& pair, int exponent, double time, const Matrix<T>& exponential, const Matrix<T>& gradient) {
  int time_exponent = 0;
  const double time_mantissa = std::frexp(time, &time_exponent);
  const PowerOfTwo from_unit(std::min(exponent + time_exponent, 2000));
  const int64_t n = exponential.rows;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      exponential.row(i)[j] = static_cast<T>(pair.value.hi()[i * n + j]);
      const double of_diagonal = kVariable == Variable::kRate ? pair.slope.hi()[i * n + i] : 0;
      const double slope = pair.slope.hi()[j * n + i] - of_diagonal;
      gradient.row(i)[j] = static_cast<T>(from_unit(slope * time_mantissa));
    }
  }
}

template <Variable kVariable, typename T>
absl::Status Differentiate(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                           double time, const Matrix<const T>& grad_exponential, const Matrix<T>& exponential,
                           const Matrix<T>& gradient) {
  if (g.rows == 0) return absl::OkStatus();
  const Rates rates = MeasureRates(g, time);
  const bool moves = time > 0 && rates.largest.hi > 0;
  const double log2_rate_time =
      moves ? std::log2(rates.largest.hi) + std::log2(rates.time_mantissa) + rates.exponent : kLog2Step;
  const int64_t squarings = SquaringsFor(log2_rate_time);
  PairExp pair(executor, pool, g.rows);
  const double step_rate = FillStep(g, rates, squarings, pair.step());
  const int exponent = FillDirection(grad_exponential, pair.direction());
  if (absl::Status done = pair.Run(squarings, step_rate); !done.ok()) return done;
  StoreResult<kVariable>(pair.result(), exponent, time, exponential, gradient);
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status GeneratorExpAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                                 double time, const Matrix<const T>& grad_exponential, const Matrix<T>& exponential,
                                 const Matrix<T>& rate_gradient) {
  return Differentiate<Variable::kRate>(executor, pool, g, time, grad_exponential, exponential, rate_gradient);
}

template <typename T>
absl::Status GeneratorExpEntryAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                                      double time, const Matrix<const T>& grad_exponential,
                                      const Matrix<T>& exponential, const Matrix<T>& gradient) {
  return Differentiate<Variable::kEntry>(executor, pool, g, time, grad_exponential, exponential, gradient);
}

double GeneratorExpAdjointBytes(int64_t n) {
  return kMatrices * static_cast<double>(n) * static_cast<double>(n) * sizeof(double);
}

double GeneratorExpAdjointFlops(int64_t n, double rate_time) {
  const auto size = static_cast<double>(n);
  const double squarings = rate_time > 0 ? static_cast<double>(SquaringsFor(std::log2(rate_time))) : 0;
  return (3.0 * (kBlock - 1 + kBlocks - 1) + 3 * squarings) * 2 * size * size * size;
}

template absl::Status GeneratorExpAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                          const Matrix<const float>&, const Matrix<float>&, const Matrix<float>&);
template absl::Status GeneratorExpAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                          const Matrix<const double>&, const Matrix<double>&, const Matrix<double>&);
template absl::Status GeneratorExpEntryAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&,
                                               double, const Matrix<const float>&, const Matrix<float>&,
                                               const Matrix<float>&);
template absl::Status GeneratorExpEntryAdjoint(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&,
                                               double, const Matrix<const double>&, const Matrix<double>&,
                                               const Matrix<double>&);

}  // namespace attend::compute
