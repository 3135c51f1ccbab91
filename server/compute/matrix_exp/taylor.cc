#include "server/compute/matrix_exp/taylor.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/compute/matrix_exp/taylor_series.h"

namespace attend::compute {
namespace {

// The plan, with as many powers as it is worth.
template <typename T>
absl::Status ChoosePlan(runtime::Executor& executor, Powers<T>& powers, double log_scale, TaylorPlan& plan,
                        uint32_t& products) {
  absl::InlinedVector<PowerNorm, Powers<T>::kMatrices> norms = {{1, powers.log_norm(1) + log_scale}};
  for (int k : {2, 3, 6}) {
    if (auto done = powers.Need(k, executor, products); !done.ok()) return done;
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
