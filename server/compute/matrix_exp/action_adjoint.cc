#include "server/compute/matrix_exp/action_adjoint.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr int kMostTerms = 91;     // of a step
constexpr int64_t kMatrices = 16;  // all that is kept, in units of [n, n] doubles

// blocks[k] = s^k f / k! for k < terms, side by side in one matrix [n, terms * p].
absl::Status FormKrylov(runtime::Executor& executor, double scale, const Operand<double>& c, const Dense& f, int terms,
                        const Matrix<double>& blocks) {
  const int64_t p = f.cols();
  for (int64_t i = 0; i < f.rows(); ++i) std::copy_n(f.view().row(i), p, blocks.row(i));
  for (int k = 1; k < terms; ++k) {
    const Matrix<double> before(blocks.data + (k - 1) * p, f.rows(), p, blocks.stride);
    const Matrix<double> next(blocks.data + k * p, f.rows(), p, blocks.stride);
    if (auto done = ParallelGemm(executor, scale / k, c, before, 0.0, next); !done.ok()) return done;
  }
  return absl::OkStatus();
}

// In place, from the right order of blocks x_l: block j = sum over l < terms - j of j! l! / (j + l + 1)! x_l, times
// scales[column].
void MixBlocks(int terms, int64_t p, const std::vector<double>& scales, const Matrix<double>& blocks) {
  std::vector<double> coefficients(static_cast<size_t>(terms * terms), 0);
  for (int j = 0; j < terms; ++j) {
    for (int l = 0; j + l < terms; ++l) {
      coefficients[static_cast<size_t>(j * terms + l)] =
          std::exp(std::lgamma(j + 1.0) + std::lgamma(l + 1.0) - std::lgamma(j + l + 2.0));
    }
  }
  std::vector<double> row(static_cast<size_t>(terms * p));
  for (int64_t i = 0; i < blocks.rows; ++i) {
    std::copy_n(blocks.row(i), terms * p, row.data());
    for (int j = 0; j < terms; ++j) {
      double* to = blocks.row(i) + j * p;
      std::fill_n(to, p, 0.0);
      for (int l = 0; j + l < terms; ++l) {
        const double coefficient = coefficients[static_cast<size_t>(j * terms + l)];
        const double* from = row.data() + l * p;
        for (int64_t column = 0; column < p; ++column) to[column] += coefficient * from[column];
      }
      for (int64_t column = 0; column < p; ++column) to[column] *= scales[static_cast<size_t>(column)];
    }
  }
}

// g = the sum of its own Krylov blocks: exp(s^T) g.
void SumBlocks(int terms, const Matrix<double>& blocks, ScaledColumns& g) {
  const int64_t p = g.values.cols();
  for (int64_t i = 0; i < blocks.rows; ++i) {
    double* to = g.values.view().row(i);
    for (int k = 1; k < terms; ++k) {
      for (int64_t column = 0; column < p; ++column) to[column] += blocks.row(i)[k * p + column];
    }
  }
  g.Normalize();
}

absl::Status AddStep(runtime::Executor& executor, runtime::BufferPool& pool, const TaylorAction& action,
                     const TaylorAction::Step& step, const ScaledNumber& factor, ScaledColumns& g,
                     const Matrix<double>& grad_a) {
  const int64_t n = g.values.rows();
  const int64_t p = g.values.cols();
  const int terms = step.degree + 1;
  const Operand<double> c(action.a().c().view());
  const Dense forward(n, terms * p, pool);
  const Dense backward(n, terms * p, pool);
  if (auto done = FormKrylov(executor, step.scale, c, step.begin.values, terms, forward.view()); !done.ok())
    return done;
  if (auto done = FormKrylov(executor, step.scale, Transposed(c), g.values, terms, backward.view()); !done.ok()) {
    return done;
  }
  std::vector<double> scales;
  for (size_t j = 0; j < g.exponents.size(); ++j) {
    const int64_t exponent = step.begin.exponents[j] + g.exponents[j] + factor.exponent;
    scales.push_back(
        std::ldexp(factor.mantissa * step.time, static_cast<int>(std::clamp<int64_t>(exponent, -4000, 4000))));
  }
  MixBlocks(terms, p, scales, forward.view());
  if (auto done =
          ParallelGemm(executor, 1.0, backward.view(), Transposed(Operand<double>(forward.view())), 1.0, grad_a);
      !done.ok()) {
    return done;
  }
  SumBlocks(terms, backward.view(), g);
  return absl::OkStatus();
}

bool AllFinite(const Matrix<double>& a) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      if (!std::isfinite(a.row(i)[j])) return false;
    }
  }
  return true;
}

void Add(const Matrix<double>& from, const Matrix<double>& to) {
  for (int64_t i = 0; i < from.rows; ++i) {
    for (int64_t j = 0; j < from.cols; ++j) to.row(i)[j] += from.row(i)[j];
  }
}

}  // namespace

template <typename T>
absl::StatusOr<bool> AddActionAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, TaylorAction& action,
                                      double time, const Matrix<const T>& b, const Matrix<const T>& gradient,
                                      const Matrix<double>& grad_a, const Matrix<double>& grad_b) {
  const int64_t n = b.rows;
  const int64_t p = b.cols;
  const int64_t most_steps = kMatrices * n / std::max<int64_t>(p, 1) - 2 * kMostTerms;
  if (most_steps < 1) return false;
  ScaledColumns f(n, p, pool);
  f.LoadFrom(b);
  TaylorAction::Recording recording;
  recording.most_steps = static_cast<size_t>(most_steps);
  ActionReport report;
  if (auto done = action.Run(executor, time, f, report, &recording); !done.ok()) return done;
  if (!recording.complete) return false;
  if (recording.steps.empty()) {  // A = shift I: exp(s A^T) G B^T exp((t - s) A^T) does not depend on s
    recording.steps.push_back(TaylorAction::Step{std::move(f), time, 0, 0});
  }
  ScaledColumns g(n, p, pool);
  g.LoadFrom(gradient);
  const long double shift = action.a().ShiftBy(time);
  for (auto step = recording.steps.rbegin(); step != recording.steps.rend(); ++step) {
    if (auto done = AddStep(executor, pool, action, *step, ScaledExp(shift), g, grad_a); !done.ok()) return done;
  }
  const Dense back(n, p, pool);
  if (g.StoreTo(shift, back.view())) {
    Add(back.view(), grad_b);
    if (AllFinite(grad_a) && AllFinite(grad_b)) return true;
  }
  return absl::OutOfRangeError(absl::StrCat("the gradient of exp overflows at norm ", action.a().ReportedNorm(time),
                                            " of time * a, time = ", time));
}

double ActionAdjointBytes(int64_t n, int64_t p) {
  return 8.0 * (kMatrices + 1) * static_cast<double>(n) * static_cast<double>(n) + TaylorActionBytes(n, p);
}

double ActionAdjointFlops(int64_t n, int64_t p, const ActionPlan& plan) {
  return 4 * plan.products() * 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(p);
}

template absl::StatusOr<bool> AddActionAdjoint(runtime::Executor&, runtime::BufferPool&, TaylorAction&, double,
                                               const Matrix<const float>&, const Matrix<const float>&,
                                               const Matrix<double>&, const Matrix<double>&);
template absl::StatusOr<bool> AddActionAdjoint(runtime::Executor&, runtime::BufferPool&, TaylorAction&, double,
                                               const Matrix<const double>&, const Matrix<const double>&,
                                               const Matrix<double>&, const Matrix<double>&);

}  // namespace attend::compute
