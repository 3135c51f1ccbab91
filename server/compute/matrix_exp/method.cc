#include "server/compute/matrix_exp/method.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/action_adjoint.h"
#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Norm estimates pay where the plan without them takes more than this.
constexpr double kPlainProducts = 40;

template <typename T>
long double LongNormOne(const Matrix<const T>& a) {
  const double norm = NormOne(a);
  if (norm <= std::numeric_limits<double>::max()) return norm;
  std::vector<long double> sums(static_cast<size_t>(a.cols), 0);
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(static_cast<double>(a.row(i)[j]));
  }
  return sums.empty() ? 0 : *std::max_element(sums.begin(), sums.end());
}

double ProductFlops(int64_t n, int64_t p) {
  return 2 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(p);
}

template <typename T>
bool AllFinite(const Matrix<T>& a) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.cols; ++j) {
      if (!std::isfinite(a.row(i)[j])) return false;
    }
  }
  return true;
}

// |exp(time a)|_1 is at most e to this (Dahlquist 1958, Lozinskii 1958): the logarithmic norm.
template <typename T>
long double LogGrowthBound(const Matrix<const T>& a, double time) {
  std::vector<double> sums(static_cast<size_t>(a.cols), 0);
  AbsColumnSums(a, sums.data());
  long double largest = -std::numeric_limits<long double>::infinity();
  for (int64_t j = 0; j < a.cols; ++j) {
    const long double diagonal = a.row(j)[j];
    // Where the sum overflows double so does the bound, long double or not: it says nothing.
    const long double beside = static_cast<long double>(sums[static_cast<size_t>(j)]) - std::fabs(diagonal);
    largest = std::max(largest, static_cast<long double>(time) * diagonal +
                                    static_cast<long double>(std::fabs(time)) * std::max(beside, 0.0L));
  }
  return largest;
}

// Signs that follow no pattern.
void FillSigns(const Matrix<double>& to) {
  uint64_t state = 0x9e3779b97f4a7c15;
  for (int64_t i = 0; i < to.rows; ++i) {
    for (int64_t j = 0; j < to.cols; ++j) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      to.row(i)[j] = (state >> 33 & 1) != 0 ? 1 : -1;
    }
  }
}

}  // namespace

template <typename T>
Method<T>::Method(runtime::BufferPool& pool, const Matrix<const T>& a) : pool_(pool), a_(a) {}

template <typename T>
double Method<T>::ReportedNorm(double time) const {
  if (!norm_) norm_ = LongNormOne(a_);
  const long double norm = *norm_ * std::fabs(static_cast<long double>(time));
  return static_cast<double>(std::min<long double>(norm, std::numeric_limits<double>::max()));
}

template <typename T>
absl::Status Method<T>::Overflow(double time) const {
  return absl::OutOfRangeError(
      absl::StrCat("exp overflows at norm ", ReportedNorm(time), " of time * a, time = ", time));
}

template <typename T>
TaylorAction& Method<T>::action() {
  if (!action_) action_.emplace(pool_, a_);
  return *action_;
}

template <typename T>
absl::Status Method<T>::Exps(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs) {
  for (const ActionJob<T>& job : jobs) {
    if (auto done = Exp(executor, job.time, job.result, *job.report); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status Method<T>::Act(runtime::Executor& executor, const Matrix<const T>& b, std::vector<ActionJob<T>>& jobs) {
  double through_exp = 0;
  for (const ActionJob<T>& job : jobs) through_exp += ApplyExpFlops(job.time, b.cols);
  const absl::StatusOr<double> in_steps = ApplyStepsFlops(executor, jobs, b.cols);
  if (!in_steps.ok()) return in_steps.status();
  if (*in_steps < through_exp) return ApplySteps(executor, b, jobs);
  for (ActionJob<T>& job : jobs) {
    if (auto done = ApplyExp(executor, job.time, false, b, job.result, *job.report); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status Method<T>::ApplyExp(runtime::Executor& executor, double time, bool transposed, const Matrix<const T>& b,
                                 const Matrix<T>& out, MatrixExpReport& report) {
  const int64_t n = a_.rows;
  const runtime::Buffer buffer = pool_.AllocateArray<T>(static_cast<size_t>(n * n));
  const Matrix<T> exponential(buffer.as<T>(), n, n);
  if (auto done = Exp(executor, time, exponential, report); !done.ok()) return done;
  const Operand<T> left = transposed ? Transposed(Operand<T>(exponential)) : Operand<T>(exponential);
  if (auto done = ParallelGemm(executor, T{1}, left, b, T{0}, out); !done.ok()) return done;
  if (!AllFinite(out)) return Overflow(time);
  if (transposed || MaxAbs(b) == 0) return absl::OkStatus();
  const double norm = NormOne(AsConst(out));
  if (norm == 0) {
    report.error_bound = 1;
    return absl::OkStatus();
  }
  const absl::StatusOr<double> cancelled = Cancellation(executor, exponential, b, out);
  if (!cancelled.ok()) return cancelled.status();
  const double terms = std::sqrt(static_cast<double>(n)) + 1;
  const double relative = (report.error_bound + terms * std::numeric_limits<T>::epsilon() / 2) * *cancelled;
  // What entries of exp and products lose below the least normal number.
  const double vanished = static_cast<double>(std::numeric_limits<T>::denorm_min()) / norm;
  report.error_bound = std::min(1e300, relative + static_cast<double>(n) * vanished * (NormOne(b) + 1));
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<double> Method<T>::Cancellation(runtime::Executor& executor, const Matrix<T>& exponential,
                                               const Matrix<const T>& b, const Matrix<T>& out) const {
  return std::max(1.0, NormOne(AsConst(exponential)) * (NormOne(b) / NormOne(AsConst(out))));
}

template <typename T>
absl::StatusOr<double> Method<T>::ApplyStepsFlops(runtime::Executor& executor, const std::vector<ActionJob<T>>& jobs,
                                                  int64_t p) {
  double first = 0;
  double last = 0;
  for (const ActionJob<T>& job : jobs) {
    first = std::min(first, job.time);
    last = std::max(last, job.time);
  }
  const auto products = [&] { return action().Plan(first).products() + action().Plan(last).products(); };
  if (products() > kPlainProducts) {
    if (auto done = action().EstimateNorms(executor); !done.ok()) return done;
  }
  return products() * ProductFlops(a_.rows, p);
}

template <typename T>
absl::Status Method<T>::ApplySteps(runtime::Executor& executor, const Matrix<const T>& b,
                                   std::vector<ActionJob<T>>& jobs) {
  // Outwards from zero, each from the one before it.
  std::stable_sort(jobs.begin(), jobs.end(), [](const ActionJob<T>& x, const ActionJob<T>& y) {
    return (x.time < 0) != (y.time < 0) ? x.time < 0 : std::fabs(x.time) < std::fabs(y.time);
  });
  ScaledColumns f(b.rows, b.cols, pool_);
  ActionReport spent;
  double reached = 0;
  for (size_t k = 0; k < jobs.size(); ++k) {
    const ActionJob<T>& job = jobs[k];
    if (k == 0 || (job.time < 0) != (reached < 0)) {
      f.LoadFrom(b);
      reached = 0;
      spent = ActionReport{};
    }
    const ActionReport before = spent;
    if (auto done = action().Run(executor, job.time - reached, f, spent); !done.ok()) return done;
    reached = job.time;
    if (!f.StoreTo(action().a().ShiftBy(job.time), job.result)) return Overflow(job.time);
    MatrixExpReport& report = *job.report;
    report.degree = static_cast<uint32_t>(spent.degree);
    report.squarings =
        static_cast<uint32_t>(std::min<int64_t>(spent.steps - before.steps, std::numeric_limits<uint32_t>::max()));
    report.action_products = static_cast<uint32_t>(spent.products - before.products);
    report.norm1 = ReportedNorm(job.time);
    const double terms = (4 + std::sqrt(static_cast<double>(a_.rows))) * spent.rounding + report.norm1;
    const absl::StatusOr<Growth> growth = StepsGrowth(executor, job.time, b, job.result);
    if (!growth.ok()) return growth.status();
    const double products = ProductRounding(a_.rows) * spent.product_rounding * std::max(growth->of_any, 1.0);
    report.error_bound =
        std::min(1e300, (terms + products) * growth->of_columns * std::numeric_limits<double>::epsilon() +
                            std::numeric_limits<T>::epsilon() / 2);
  }
  return absl::OkStatus();
}

// Where the logarithmic norm foresees too much, |exp| comes from exp of a column of random signs, whose 2-norm is the
// Frobenius norm of exp in the mean.
template <typename T>
absl::StatusOr<typename Method<T>::Growth> Method<T>::StepsGrowth(runtime::Executor& executor, double time,
                                                                  const Matrix<const T>& b, const Matrix<T>& out) {
  constexpr long double kModest = 64;
  constexpr long double kMissed = 8;  // how far below its mean the column may be
  const double before = b.cols == 0 ? 0 : NormOne(b);
  if (before == 0) return Growth{};
  const double after = NormOne(AsConst(out));
  if (after == 0) return Growth{std::numeric_limits<double>::max(), 1};
  const long double ratio = static_cast<long double>(before) / after;
  const long double foreseen = std::exp(LogGrowthBound(a_, time));
  const auto growth = [ratio](long double norm) {
    return Growth{static_cast<double>(std::clamp<long double>(norm * ratio, 1, 1e300)),
                  static_cast<double>(std::clamp<long double>(norm, 0, 1e300))};
  };
  if (foreseen * ratio <= kModest) return growth(foreseen);
  ScaledColumns probe(a_.rows, 1, pool_);
  FillSigns(probe.values.view());
  ActionReport unused;
  if (auto done = action().Run(executor, time, probe, unused); !done.ok()) return done;
  const long double exponent =
      action().a().ShiftBy(time) + static_cast<long double>(probe.exponents[0]) * 0.693147180559945309417L;
  return growth(std::min(kMissed * std::exp(exponent) * NormOne(AsConst(probe.values.view())), foreseen));
}

template <typename T>
absl::Status Method<T>::AddActionAdjoint(runtime::Executor& executor, double time, const Matrix<const T>& b,
                                         const Matrix<const T>& gradient, const Matrix<double>& grad_a,
                                         const Matrix<double>& grad_b) {
  const int64_t n = a_.rows;
  const int64_t p = b.cols;
  const ActionPlan plan = action().Plan(time);
  const double dense_flops = AdjointFlops(time) + ApplyExpFlops(time, p);
  if (ActionAdjointFlops(n, p, plan) < dense_flops) {
    const absl::StatusOr<bool> done =
        compute::AddActionAdjoint(executor, pool_, action(), time, b, gradient, grad_a, grad_b);
    if (!done.ok()) return done.status();
    other_flops_ += *done ? ActionAdjointFlops(n, p, plan) : 0;
    if (*done) return absl::OkStatus();
  }
  {
    const Dense wide_b(n, p, pool_);
    const Dense wide_gradient(n, p, pool_);
    const Dense outer(n, n, pool_);
    Load(b, wide_b.view());
    Load(gradient, wide_gradient.view());
    if (auto done = ParallelGemm(executor, 1.0, wide_gradient.view(), Transposed(Operand<double>(wide_b.view())), 0.0,
                                 outer.view());
        !done.ok()) {
      return done;
    }
    if (!AllFinite(outer.view())) return Overflow(time);
    if (auto done = AddExpAdjoint(executor, time, AsConst(outer.view()), grad_a); !done.ok()) return done;
  }
  const runtime::Buffer buffer = pool_.AllocateArray<T>(static_cast<size_t>(n * p));
  const Matrix<T> back(buffer.as<T>(), n, p);
  MatrixExpReport unused;
  if (auto done = ApplyExp(executor, time, true, gradient, back, unused); !done.ok()) return done;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < p; ++j) grad_b.row(i)[j] += static_cast<double>(back.row(i)[j]);
  }
  return absl::OkStatus();
}

template class Method<float>;
template class Method<double>;

}  // namespace attend::compute
