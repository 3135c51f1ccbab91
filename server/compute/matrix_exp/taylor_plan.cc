#include "server/compute/matrix_exp/taylor_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

namespace attend::compute {
namespace {

struct Degree {
  int degree;
  double log_theta_double;
  double log_theta_float;
};

constexpr Degree kDegree2{2, -25.20751877, -10.70784222};  // theta 2.58095680e-8, 5.97885889e-4
constexpr Degree kDegree4{4, -11.52337946, -4.288665278};  // 3.39716884e-4, 5.11661936e-2
constexpr Degree kDegree8{8, -4.324461130, -0.785744705};  // 4.99122887e-2, 5.80052463e-1
constexpr Degree kDegree18{18, 0.125470878, 1.589795294};  // 1.09086372, 3.01006636

constexpr int kHighestPower = 6;

// log2 alpha for degrees up to `highest`. Beyond the degree and as many further exponents as the highest power at hand
// there is one more factor of that power, which leaves alpha between what it was and the power's own.
class Alpha {
 public:
  Alpha(absl::Span<const PowerNorm> norms, int highest) : period_(norms.back().k) {
    bounds_[0] = 0;
    for (int k = 1; k <= highest + period_; ++k) {
      double least = std::numeric_limits<double>::infinity();
      for (const PowerNorm& norm : norms) {
        if (norm.k <= k) least = std::min(least, norm.log_norm + bounds_[static_cast<size_t>(k - norm.k)]);
      }
      bounds_[static_cast<size_t>(k)] = least;
    }
    limit_ = norms.back().log_norm / period_;
  }

  double Log(int degree) const {
    double log_alpha = limit_;
    for (int k = degree + 1; k <= degree + period_; ++k) {
      log_alpha = std::max(log_alpha, bounds_[static_cast<size_t>(k)] / k);
    }
    return log_alpha;
  }

 private:
  const int period_;
  std::array<double, kDegree18.degree + kHighestPower + 1> bounds_;  // log2 of what bounds |B^k|
  double limit_;
};

// Powers of B / 2^s stay far from overflow, also where alpha is small because they cancel.
template <typename T>
int64_t SquaringsForRange(absl::Span<const PowerNorm> norms) {
  constexpr double kLargestLog = std::is_same_v<T, float> ? 20 : 100;
  double squarings = 0;
  for (const PowerNorm& norm : norms) {
    squarings = std::max(squarings, std::ceil((norm.log_norm - kLargestLog) / norm.k));
  }
  return static_cast<int64_t>(squarings);
}

}  // namespace

template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const PowerNorm> norms) {
  const bool all = norms.back().k == kHighestPower;
  const Alpha alpha(norms, all ? kDegree18.degree : kDegree8.degree);
  const int64_t for_range = SquaringsForRange<T>(norms);
  double excess = 0;
  const auto plan_degree = [&](const Degree& degree) {
    excess = alpha.Log(degree.degree) - (std::is_same_v<T, float> ? degree.log_theta_float : degree.log_theta_double);
    const auto for_theta = excess > 0 ? static_cast<int64_t>(std::ceil(excess)) : int64_t{0};
    return TaylorPlan{degree.degree, std::max(for_theta, for_range)};
  };
  TaylorPlan plan = plan_degree(kDegree2);
  if (plan.squarings > 0) plan = plan_degree(kDegree4);
  // Degree 18 takes two products more than degree 8. At the same price the higher degree: squarings double the error.
  if (plan.squarings > 0) plan = plan_degree(kDegree8);
  if (plan.squarings > 1) {
    if (!all) return std::nullopt;
    plan = plan_degree(kDegree18);
  }
  // The terms that were left out fall with this power of the step, at least.
  plan.truncation = std::exp2(std::min(0.0, plan.degree * (excess - static_cast<double>(plan.squarings))));
  return plan;
}

template std::optional<TaylorPlan> PlanTaylor<float>(absl::Span<const PowerNorm>);
template std::optional<TaylorPlan> PlanTaylor<double>(absl::Span<const PowerNorm>);

}  // namespace attend::compute
