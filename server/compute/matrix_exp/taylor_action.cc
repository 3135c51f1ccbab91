#include "server/compute/matrix_exp/taylor_action.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "server/compute/matrix_exp/action_polynomial.h"
#include "server/compute/matrix_exp/norms.h"

namespace attend::compute {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// theta_m for double: Higham 2008, Functions of Matrices, Table A.3, and Al-Mohy and Higham 2011, Table 3.1.
struct Degree {
  int degree;
  double theta;
};
constexpr Degree kDegrees[] = {{2, 2.58e-8},  {3, 1.39e-5},  {4, 3.40e-4},  {5, 2.40e-3},  {6, 9.07e-3},  {7, 2.38e-2},
                               {8, 5.00e-2},  {9, 8.96e-2},  {10, 1.44e-1}, {11, 2.14e-1}, {12, 3.00e-1}, {13, 4.00e-1},
                               {14, 5.14e-1}, {15, 6.41e-1}, {16, 7.81e-1}, {17, 9.31e-1}, {18, 1.09},    {19, 1.26},
                               {20, 1.44},    {21, 1.62},    {22, 1.82},    {23, 2.01},    {24, 2.22},    {25, 2.43},
                               {26, 2.64},    {27, 2.86},    {28, 3.08},    {29, 3.31},    {30, 3.54},    {35, 4.7},
                               {40, 6.0},     {45, 7.2},     {50, 8.5},     {55, 9.9}};
// Longer steps than the plan's are at most this long, in units of 1 / |C|: their terms end before the polynomial does.
constexpr double kLongestStep = 24;
// From so many columns on, long steps are tried on one before all take them.
constexpr int64_t kFewColumns = 8;
// Beyond these it is accepted: steps cannot help against what cancels between them.
constexpr int kMostHalvings = 6;

// Whether powers of C fall so far short of its norm that products with it round to more than terms show; then its
// column sums. Terms of matrices whose entries follow no pattern reach this norm themselves.
std::vector<double> WeightsFor(const Matrix<double>& c, double norm) {
  constexpr double kFarLonger = 16;
  if (norm <= kFarLonger * std::sqrt(static_cast<double>(c.rows))) return {};
  std::vector<double> sums(static_cast<size_t>(c.cols), 0);
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(c.row(i)[j]);
  }
  return sums;
}

// Two columns of the largest norm, and two of signs that follow no pattern: [n, 4].
void FillProbes(const Matrix<double>& c, const Matrix<double>& probes) {
  SetZero(probes);
  std::vector<double> sums(static_cast<size_t>(c.cols), 0);
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(c.row(i)[j]);
  }
  for (int64_t probe = 0; probe < 2; ++probe) {
    const auto largest = std::max_element(sums.begin(), sums.end());
    probes.row(largest - sums.begin())[probe] = 1;
    *largest = -1;
  }
  uint64_t state = 0x9e3779b97f4a7c15;
  for (int64_t i = 0; i < probes.rows; ++i) {
    for (int64_t probe = 2; probe < 4; ++probe) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      probes.row(i)[probe] = ((state >> 33 & 1) != 0 ? 1.0 : -1.0) / static_cast<double>(probes.rows);
    }
  }
}

// One column of all of f's, each in units of its largest entry and with a sign that follows no pattern.
void MixColumns(const Dense& f, const Dense& mixed) {
  std::vector<double> weights(static_cast<size_t>(f.cols()), 0);
  for (int64_t i = 0; i < f.rows(); ++i) {
    const double* row = f.view().row(i);
    for (size_t j = 0; j < weights.size(); ++j) weights[j] = std::max(weights[j], std::fabs(row[j]));
  }
  uint64_t state = 0x9e3779b97f4a7c15;
  for (double& weight : weights) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    if (weight > 0) weight = ((state >> 33 & 1) != 0 ? 1 : -1) / weight;
  }
  for (int64_t i = 0; i < f.rows(); ++i) {
    const double* row = f.view().row(i);
    mixed.data()[i] = std::inner_product(weights.begin(), weights.end(), row, 0.0);
  }
}

}  // namespace

absl::Status TaylorAction::Pack(runtime::Executor& executor) {
  if (packed_) return absl::OkStatus();
  PackedMatrix packed(a_.n(), a_.n(), pool_);
  if (auto done = packed.Pack(executor, Operand<double>(a_.c().view())); !done.ok()) return done;
  packed_.emplace(std::move(packed));
  return absl::OkStatus();
}

absl::Status TaylorAction::EstimateNorms(runtime::Executor& executor) {
  if (has_estimates_) return absl::OkStatus();
  if (auto done = Pack(executor); !done.ok()) return done;
  const Dense probes(a_.n(), 4, pool_);
  FillProbes(a_.c().view(), probes.view());
  ColumnPanels power(a_.n(), 4, pool_);
  ColumnPanels next(a_.n(), 4, pool_);
  power.LoadFrom(AsConst(probes.view()));
  for (size_t k = 1; k <= kEstimated; ++k) {
    const auto multiply = [&](const PackedTile& tile) {
      packed_->MultiplyTile(power, tile, PackedMatrix::To::kSet, next);
    };
    if (auto done = packed_->ForEachTile(executor, 4, 1, multiply); !done.ok()) return done;
    std::swap(power, next);
    power.StoreTo(probes.view());
    log_norms_[k] = std::log2(NormOne(AsConst(probes.view())));
  }
  log_norms_[1] = std::log2(a_.norm());
  has_estimates_ = true;
  return absl::OkStatus();
}

// log2 of max(|C^p|^(1/p), |C^(p+1)|^(1/(p+1))); of |C| for p = 1.
double TaylorAction::LogAlpha(int p) const {
  if (p == 1) return std::log2(a_.norm());
  const auto k = static_cast<size_t>(p);
  return std::max(log_norms_[k] / p, log_norms_[k + 1] / (p + 1));
}

ActionPlan TaylorAction::Plan(double time) const {
  const double log_scale = a_.LogNorm(time) - std::log2(a_.norm());
  if (a_.norm() == 0 || time == 0) return {};
  ActionPlan best{0, kInfinity};
  for (int p = 1; p <= (has_estimates_ ? kEstimated - 1 : 1); ++p) {
    for (const Degree& each : kDegrees) {
      if (p > 1 && each.degree < p * (p - 1) - 1) continue;
      const double steps = std::max(1.0, std::ceil(std::exp2(LogAlpha(p) + log_scale) / each.theta));
      if (best.degree == 0 || each.degree * steps < best.products()) best = {each.degree, steps};
    }
  }
  return best;
}

// What cancels in long steps depends on where the columns point, so that one is tried.
absl::Status TaylorAction::ChooseSteps(runtime::Executor& executor, double time, const ScaledColumns& f,
                                       double& steps) {
  steps = std::max(1.0, Plan(time).steps);
  double log_norm = LogAlpha(1);
  for (int p = 2; has_estimates_ && p < kEstimated; ++p) log_norm = std::min(log_norm, LogAlpha(p));
  const double length = std::exp2(log_norm + a_.LogNorm(time) - std::log2(a_.norm()));
  const double fewer = std::max(1.0, std::ceil(length / kLongestStep));
  if (!(fewer < steps)) return absl::OkStatus();
  if (f.values.cols() >= kFewColumns) {
    const Dense column(f.values.rows(), 1, pool_);
    MixColumns(f.values, column);
    ActionPolynomial polynomial(pool_, column.rows(), 1);
    const auto scale = static_cast<double>(a_.Unit() * time / fewer);
    auto done = polynomial.Evaluate(executor, scale, *packed_, column, tolerance_, kMostCancellation);
    if (!done.ok()) return done;
    if (!polynomial.converged() || polynomial.Cancellation() > kMostCancellation) return absl::OkStatus();
  }
  steps = fewer;
  return absl::OkStatus();
}

absl::Status TaylorAction::Run(runtime::Executor& executor, double time, ScaledColumns& f, ActionReport& report,
                               Recording* recording) {
  const int64_t n = f.values.rows();
  const int64_t p = f.values.cols();
  if (a_.norm() == 0 || time == 0 || p == 0) return absl::OkStatus();
  if (auto done = Pack(executor); !done.ok()) return done;
  double steps_left = 0;
  if (auto done = ChooseSteps(executor, time, f, steps_left); !done.ok()) return done;
  if (recording != nullptr) steps_left = std::max(steps_left, recording->least_steps);
  ActionPolynomial polynomial(pool_, n, p);
  auto scale = static_cast<double>(a_.Unit() * time / steps_left);
  int halvings = 0;
  polynomial.MeasureProducts(WeightsFor(a_.c().view(), std::fabs(scale) * a_.norm()));
  while (steps_left > 0) {
    const double most_cancellation = halvings < kMostHalvings ? kMostCancellation : kInfinity;
    auto done = polynomial.Evaluate(executor, scale, *packed_, f.values, tolerance_, most_cancellation);
    if (!done.ok()) return done;
    report.products += polynomial.degree();
    if (!polynomial.converged() || polynomial.Cancellation() > most_cancellation) {
      ++halvings;
      steps_left *= 2;
      scale /= 2;
      continue;
    }
    if (recording != nullptr) {
      recording->complete = recording->steps.size() < recording->most_steps;
      if (!recording->complete) return absl::OkStatus();
      const auto step_time = static_cast<double>(scale / a_.Unit());
      Step& step =
          recording->steps.emplace_back(Step{ScaledColumns(n, p, pool_), step_time, scale, polynomial.degree()});
      std::swap(step.begin, f);
      f.exponents = step.begin.exponents;
    }
    report.product_rounding += polynomial.ProductRounding();
    polynomial.StoreTo(f.values);
    f.Normalize();
    report.degree = std::max(report.degree, polynomial.degree());
    ++report.steps;
    report.rounding += std::min(polynomial.Cancellation(), 1e300) + (tolerance_ / kUnit - 1);
    steps_left -= 1;
  }
  return absl::OkStatus();
}

double TaylorActionBytes(int64_t n, int64_t p) {
  const auto size = static_cast<double>(n);
  const double estimate = 8 * (size + 2 * static_cast<double>(ColumnPanels::PaddedRows(n))) * 4;
  return 8 * size * size + PackedMatrix::Bytes(n, n) + 8 * (2 * size * static_cast<double>(p) + 8 * size) +
         ActionPolynomial::Bytes(n, p) + std::max(estimate, 8 * size + ActionPolynomial::Bytes(n, 1));
}

}  // namespace attend::compute
