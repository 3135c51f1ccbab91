#include "server/compute/matrix_exp/action_adjoint.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/krylov_blocks.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr int64_t kMatrices = 16;  // all that is kept of steps, in units of [n, n] doubles
constexpr int kMostAttempts = 3;

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

std::vector<double> ColumnScales(double factor, const ScaledColumns& f, const ScaledColumns& g, int64_t exponent) {
  std::vector<double> scales;
  for (size_t j = 0; j < g.exponents.size(); ++j) {
    const int64_t sum = f.exponents[j] + g.exponents[j] + exponent;
    scales.push_back(std::ldexp(factor, static_cast<int>(std::clamp<int64_t>(sum, -4000, 4000))));
  }
  return scales;
}

// False, and grad_a and g are unspecified, where the step is too long for g.
absl::StatusOr<bool> AddStep(runtime::Executor& executor, runtime::BufferPool& pool, const TaylorAction& action,
                             const TaylorAction::Step& step, const ScaledNumber& factor, ScaledColumns& g,
                             const Matrix<double>& grad_a) {
  const Operand<double> c(action.a().c().view());
  KrylovBlocks backward(g.values, pool);
  auto done = backward.ExtendUntilNegligible(action.tolerance(), executor, step.scale, Transposed(c));
  if (!done.ok()) return done;
  if (!backward.converged() || backward.Cancellation() > TaylorAction::kMostCancellation) return false;
  const int terms = std::max(step.degree + 1, backward.terms());
  KrylovBlocks forward(step.begin.values, pool);
  if (done = backward.ExtendTo(terms, executor, step.scale, Transposed(c)); !done.ok()) return done;
  if (done = forward.ExtendTo(terms, executor, step.scale, c); !done.ok()) return done;
  MixBlocks(terms, g.values.cols(), ColumnScales(factor.mantissa * step.time, step.begin, g, factor.exponent),
            forward.all());
  done = ParallelGemm(executor, 1.0, backward.all(), Transposed(Operand<double>(forward.all())), 1.0, grad_a);
  if (!done.ok()) return done;
  std::copy_n(backward.sum().data(), backward.sum().size(), g.values.data());
  g.Normalize();
  return true;
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

// The way there, recorded. False where it takes too many steps, or digits cancel whatever their length.
template <typename T>
absl::StatusOr<bool> Record(runtime::Executor& executor, runtime::BufferPool& pool, TaylorAction& action, double time,
                            const Matrix<const T>& b, TaylorAction::Recording& recording) {
  ScaledColumns f(b.rows, b.cols, pool);
  f.LoadFrom(b);
  ActionReport report;
  if (auto done = action.Run(executor, time, f, report, &recording); !done.ok()) return done;
  if (!recording.complete) return false;
  if (recording.steps.empty()) {  // A = shift I: exp(s A^T) G B^T exp((t - s) A^T) does not depend on s
    recording.steps.push_back(TaylorAction::Step{std::move(f), time, 0, 0});
  }
  return report.rounding <= TaylorAction::kMostCancellation * static_cast<double>(recording.steps.size());
}

// Into sums that begin with 0. False where a step is too long for what comes back.
absl::StatusOr<bool> ComeBack(runtime::Executor& executor, runtime::BufferPool& pool, const TaylorAction& action,
                              const TaylorAction::Recording& recording, const ScaledNumber& factor, ScaledColumns& g,
                              const Matrix<double>& grad_a) {
  SetZero(grad_a);
  for (auto step = recording.steps.rbegin(); step != recording.steps.rend(); ++step) {
    absl::StatusOr<bool> added = AddStep(executor, pool, action, *step, factor, g, grad_a);
    if (!added.ok() || !*added) return added;
  }
  return true;
}

double StepsOfLength(const TaylorAction::Recording& recording, double time) {
  double shortest = std::fabs(time);
  for (const TaylorAction::Step& step : recording.steps) shortest = std::min(shortest, std::fabs(step.time));
  return std::ceil(std::fabs(time) / shortest);
}

}  // namespace

template <typename T>
absl::StatusOr<bool> AddActionAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, TaylorAction& action,
                                      double time, const Matrix<const T>& b, const Matrix<const T>& gradient,
                                      const Matrix<double>& grad_a, const Matrix<double>& grad_b) {
  const int64_t n = b.rows;
  const int64_t p = b.cols;
  const int64_t most_steps = kMatrices * n / std::max<int64_t>(p, 1) - 2 * KrylovBlocks::kMostTerms;
  if (most_steps < 1) return false;
  const long double shift = action.a().ShiftBy(time);
  const Dense sum(n, n, pool);
  ScaledColumns g(n, p, pool);
  double least_steps = 1;
  bool arrived = false;
  for (int attempt = 0; attempt < kMostAttempts && !arrived; ++attempt) {
    TaylorAction::Recording recording{.most_steps = static_cast<size_t>(most_steps), .least_steps = least_steps};
    const absl::StatusOr<bool> recorded = Record(executor, pool, action, time, b, recording);
    if (!recorded.ok() || !*recorded) return recorded;
    g = ScaledColumns(n, p, pool);
    g.LoadFrom(gradient);
    const absl::StatusOr<bool> back = ComeBack(executor, pool, action, recording, ScaledExp(shift), g, sum.view());
    if (!back.ok()) return back;
    arrived = *back;
    least_steps = 2 * StepsOfLength(recording, time);
  }
  if (!arrived) return false;
  Add(sum.view(), grad_a);
  const Dense back(n, p, pool);
  if (g.StoreTo(shift, back.view())) {
    Add(back.view(), grad_b);
    if (AllFinite(grad_a) && AllFinite(grad_b)) return true;
  }
  return absl::OutOfRangeError(absl::StrCat("the gradient of exp overflows at norm ", action.a().ReportedNorm(time),
                                            " of time * a, time = ", time));
}

double ActionAdjointBytes(int64_t n, int64_t p) {
  return 8.0 * (kMatrices + 2) * static_cast<double>(n) * static_cast<double>(n) + TaylorActionBytes(n, p);
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
