#include "server/compute/matrix_exp/taylor_plan.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <type_traits>

namespace attend::compute {
namespace {

struct Degree {
  int degree;
  double log_theta_double;
  double log_theta_float;
  double slack;  // log2 of what each further term may grow by: d in the header
};

constexpr Degree kDegree2{2, -25.20751877, -10.70784222, 0};   // theta 2.58095680e-8, 5.97885889e-4
constexpr Degree kDegree4{4, -11.52337946, -4.288665278, 0};   // 3.39716884e-4, 5.11661936e-2
constexpr Degree kDegree8{8, -4.324461130, -0.785744705, 0};   // 4.99122887e-2, 5.80052463e-1
constexpr Degree kDegree15{15, -0.58618335, 1.16258300, 0.5};  // 0.666102755, 2.23857865
constexpr Degree kDegree18{18, 0.125470878, 1.589795294, 0};   // 1.09086372, 3.01006636

// log2 of what bounds |B^k|: products of the norms at hand.
class PowerBounds {
 public:
  PowerBounds(absl::Span<const PowerNorm> norms, int highest) : period_(norms.back().k) {
    assert(highest + period_ < static_cast<int>(bounds_.size()));
    bounds_[0] = 0;
    for (int k = 1; k <= highest + period_; ++k) {
      double least = std::numeric_limits<double>::infinity();
      // The first last: only it waits for the bound before.
      for (size_t at = norms.size(); at-- > 0;) {
        const PowerNorm& norm = norms[at];
        if (norm.k <= k) least = std::min(least, norm.log_norm + bounds_[static_cast<size_t>(k - norm.k)]);
      }
      bounds_[static_cast<size_t>(k)] = least;
    }
    limit_ = norms.back().log_norm / period_;
  }

  // log2 of the least x with |B^k| <= |B| x^(k-1) 2^(slack (k-m-1)) for all k > m. Beyond m and as many further
  // exponents as the highest power at hand there is one more factor of that power, which leaves x between what it was
  // and the power's own.
  double LogStep(const Degree& degree) const {
    double log_step = limit_ - degree.slack;
    for (int k = degree.degree + 1; k <= degree.degree + period_; ++k) {
      const double excess = bounds_[static_cast<size_t>(k)] - bounds_[1] - degree.slack * (k - degree.degree - 1);
      log_step = std::max(log_step, excess / (k - 1));
    }
    return log_step;
  }

 private:
  static constexpr int kMostBounds = 32;

  const int period_;
  std::array<double, kMostBounds> bounds_;
  double limit_;
};

constexpr int kHighestPower = 6;

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

// The plans of each degree from the same norms.
template <typename T>
class Planner {
 public:
  Planner(absl::Span<const PowerNorm> norms, int highest)
      : bounds_(norms, highest), for_range_(SquaringsForRange<T>(norms)) {}

  bool TakesNoSquaring(const Degree& degree) const { return for_range_ == 0 && Excess(degree) <= 0; }

  TaylorPlan Plan(const Degree& degree) const {
    const double excess = Excess(degree);
    const auto for_theta = excess > 0 ? static_cast<int64_t>(std::ceil(excess)) : int64_t{0};
    TaylorPlan plan{degree.degree, std::max(for_theta, for_range_)};
    // The terms that were left out fall with this power of the step, at least.
    plan.truncation = std::exp2(std::min(0.0, degree.degree * (excess - static_cast<double>(plan.squarings))));
    return plan;
  }

 private:
  // log2 of the step in units of theta.
  double Excess(const Degree& degree) const {
    return bounds_.LogStep(degree) - (std::is_same_v<T, float> ? degree.log_theta_float : degree.log_theta_double);
  }

  const PowerBounds bounds_;
  const int64_t for_range_;
};

}  // namespace

template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const PowerNorm> norms) {
  const bool all = norms.back().k == kHighestPower;
  const Planner<T> planner(norms, all ? kDegree18.degree : kDegree8.degree);
  for (const Degree* degree : {&kDegree2, &kDegree4}) {
    if (planner.TakesNoSquaring(*degree)) return planner.Plan(*degree);
  }
  // Degree 18 takes two products more than degree 8, and the same where its powers are there. At the same price the
  // higher degree: squarings double the error.
  if (all) return planner.Plan(kDegree18);
  const TaylorPlan plan = planner.Plan(kDegree8);
  return plan.squarings <= 1 ? std::optional(plan) : std::nullopt;
}

template <typename T>
TaylorPlan PlanTaylorOfTwoPowers(absl::Span<const PowerNorm> norms) {
  const Planner<T> planner(norms, kDegree15.degree);
  for (const Degree* degree : {&kDegree2, &kDegree4, &kDegree8}) {
    if (planner.TakesNoSquaring(*degree)) return planner.Plan(*degree);
  }
  return planner.Plan(kDegree15);
}

template std::optional<TaylorPlan> PlanTaylor<float>(absl::Span<const PowerNorm>);
template std::optional<TaylorPlan> PlanTaylor<double>(absl::Span<const PowerNorm>);
template TaylorPlan PlanTaylorOfTwoPowers<float>(absl::Span<const PowerNorm>);
template TaylorPlan PlanTaylorOfTwoPowers<double>(absl::Span<const PowerNorm>);

}  // namespace attend::compute
