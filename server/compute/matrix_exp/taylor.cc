#include "server/compute/matrix_exp/taylor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/compute/matrix_exp/taylor_series.h"

namespace attend::compute {
namespace {

// Power k, with more digits where its own rounding would show in exp: log_scale is that of A over C, the steps those
// that the power takes.
template <typename T>
absl::Status FormPower(int k, runtime::Executor& executor, Powers<T>& powers, double log_scale, uint32_t& products) {
  if (auto done = powers.Need(k, executor, products); !done.ok() || k == 6 || powers.is_refined(k)) return done;
  const double log_step = log_scale + std::min(0.0, -(powers.log_norm(k) + k * log_scale) / k);
  double log_value = powers.log_norm(1) + log_step;
  if (k == 3) log_value = std::max(log_value, powers.log_norm(2) + 2 * log_step);
  const double log_rounding = powers.log_abs_norm(k) + k * log_step;
  if (!PowerCancels(powers.n(), std::exp2(log_rounding), std::exp2(log_value))) return absl::OkStatus();
  return powers.Refine(k, executor, products);
}

// B^2, of log2 norm `log_square`, is brought to norm 1.
template <typename T>
TaylorPlan PlanInSquares(double log_norm, double log_square) {
  constexpr double kLargestLog = std::is_same_v<T, float> ? 20 : 100;
  const double squarings = std::ceil(std::max({0.0, log_square / 2, log_norm - kLargestLog}));
  TaylorPlan plan{.degree = 17, .squarings = static_cast<int64_t>(squarings), .in_squares = true};
  // The terms left out over a unit of roundoff of B.
  const double norm = std::exp2(log_norm - squarings);
  const double rest = std::exp2(9 * (log_square - 2 * squarings)) / std::tgamma(19) * (1 + norm / 19);
  plan.truncation = rest / (std::numeric_limits<T>::epsilon() / 2 * norm);
  return plan;
}

// The plan, with as many powers as it is worth.
template <typename T>
absl::Status ChoosePlan(runtime::Executor& executor, Powers<T>& powers, double log_scale, TaylorPlan& plan,
                        uint32_t& products) {
  if (auto done = FormPower(2, executor, powers, log_scale, products); !done.ok()) return done;
  if (powers.is_refined(2) && !powers.vanishes(2)) {
    plan = PlanInSquares<T>(powers.log_norm(1) + log_scale, powers.log_norm(2) + 2 * log_scale);
    return absl::OkStatus();
  }
  absl::InlinedVector<PowerNorm, Powers<T>::kMatrices> norms = {{1, powers.log_norm(1) + log_scale}};
  for (int k : {2, 3, 6}) {
    if (auto done = FormPower(k, executor, powers, log_scale, products); !done.ok()) return done;
    norms.push_back({k, powers.log_norm(k) + k * log_scale});
    if (powers.vanishes(k)) {
      plan = TaylorPlan{.degree = k - 1, .squarings = 0, .truncation = 0, .ends = true};
      return absl::OkStatus();
    }
    if (k == 3) continue;
    if (const auto found = PlanTaylor<T>(norms)) {
      plan = *found;
      return absl::OkStatus();
    }
  }
  return absl::InternalError("no plan for a Taylor polynomial");
}

// |time A|_1, the largest double where it is more.
template <typename T>
double NormAt(const Powers<T>& powers, double time) {
  int exponent = 0;
  const double mantissa = std::fabs(std::frexp(time, &exponent));
  return std::min(std::ldexp(powers.norm() * mantissa, powers.norm_exponent() + exponent),
                  std::numeric_limits<double>::max());
}

}  // namespace

template <typename T>
absl::Status TaylorExp(runtime::Executor& executor, runtime::BufferPool& pool, Powers<T>& powers, double time,
                       const Matrix<T>& result, MatrixExpReport& report) {
  report = MatrixExpReport{};
  const TaylorScaling<T> scaling(powers, time);
  report.norm1 = NormAt(powers, time);
  TaylorSeries<T> series(executor, pool, powers, scaling);
  if (time == 0 || powers.is_zero()) {
    series.StartWithIdentity();
  } else {
    TaylorPlan plan;
    if (auto done = ChoosePlan(executor, powers, scaling.LogScale(), plan, report.products); !done.ok()) return done;
    if (auto done = series.Evaluate(plan, report.products); !done.ok()) return done;
    if (auto done = series.Square(plan.squarings, report.squarings); !done.ok()) return done;
    report.degree = static_cast<uint32_t>(plan.degree);
    report.products += report.squarings;
  }
  if (time != 0) {
    if (auto done = series.ApplyShift(); !done.ok()) return done;
  }
  bool fits = false;
  if (auto done = series.Store(result, fits, report.error_bound); !done.ok()) return done;
  if (!fits) {
    return absl::OutOfRangeError(absl::StrCat("exp overflows at norm ", report.norm1, " of time * a, time = ", time));
  }
  return absl::OkStatus();
}

template absl::Status TaylorExp(runtime::Executor&, runtime::BufferPool&, Powers<float>&, double, const Matrix<float>&,
                                MatrixExpReport&);
template absl::Status TaylorExp(runtime::Executor&, runtime::BufferPool&, Powers<double>&, double,
                                const Matrix<double>&, MatrixExpReport&);

}  // namespace attend::compute
