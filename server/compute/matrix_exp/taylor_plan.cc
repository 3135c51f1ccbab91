#include "server/compute/matrix_exp/taylor_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace attend::compute {
namespace {

struct Degree {
  int degree;
  int products;  // beyond the powers 1, 2 and 3
  double log_theta_double;
  double log_theta_float;
};

constexpr Degree kDegree2{2, 0, -25.20751877, -10.70784222};  // theta 2.58095680e-8, 5.97885889e-4
constexpr Degree kDegree4{4, 1, -11.52337946, -4.288665278};  // 3.39716884e-4, 5.11661936e-2
constexpr Degree kDegree8{8, 2, -4.324461130, -0.785744705};  // 4.99122887e-2, 5.80052463e-1
constexpr Degree kDegree18{18, 3, 0.125470878, 1.589795294};  // 1.09086372, 3.01006636

// log2 |B^k|, or the least bound of it that the powers at hand give.
double LogNorm(absl::Span<const double> norms, int k) {
  const int known = static_cast<int>(norms.size());
  if (k <= known) return norms[static_cast<size_t>(k - 1)];
  double least = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= known; ++i) least = std::min(least, norms[static_cast<size_t>(i - 1)] + LogNorm(norms, k - i));
  return least;
}

double LogAlpha(absl::Span<const double> norms, int degree) {
  double alpha = norms[0];
  for (int p = 2; p * (p - 1) <= degree + 1 && p <= 4; ++p) {
    alpha = std::min(alpha, std::max(LogNorm(norms, p) / p, LogNorm(norms, p + 1) / (p + 1)));
  }
  return alpha;
}

// Powers of B / 2^s stay far from overflow, also where alpha is small because they cancel.
template <typename T>
int64_t SquaringsForRange(absl::Span<const double> norms) {
  constexpr double kLargestLog = std::is_same_v<T, float> ? 20 : 100;
  double squarings = 0;
  for (size_t k = 1; k <= norms.size(); ++k) {
    squarings = std::max(squarings, std::ceil((norms[k - 1] - kLargestLog) / static_cast<double>(k)));
  }
  return static_cast<int64_t>(squarings);
}

template <typename T>
TaylorPlan PlanDegree(absl::Span<const double> norms, const Degree& degree) {
  const double log_theta = std::is_same_v<T, float> ? degree.log_theta_float : degree.log_theta_double;
  const double excess = LogAlpha(norms, degree.degree) - log_theta;
  const int64_t squarings =
      std::max(excess > 0 ? static_cast<int64_t>(std::ceil(excess)) : int64_t{0}, SquaringsForRange<T>(norms));
  // The terms that were left out fall with this power of the step, at least.
  return {degree.degree, squarings,
          std::exp2(std::min(0.0, degree.degree * (excess - static_cast<double>(squarings))))};
}

}  // namespace

template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const double> log_norms) {
  for (const Degree& degree : {kDegree2, kDegree4}) {
    const TaylorPlan plan = PlanDegree<T>(log_norms, degree);
    if (plan.squarings == 0) return plan;
  }
  // Degree 18 takes two products more than degree 8, the third power among them. At the same price the higher degree:
  // squarings double the error.
  const TaylorPlan low = PlanDegree<T>(log_norms, kDegree8);
  if (low.squarings <= 1) return low;
  if (log_norms.size() < kPowersToPlan) return std::nullopt;
  const TaylorPlan high = PlanDegree<T>(log_norms, kDegree18);
  const bool lower_is_cheaper = kDegree8.products + low.squarings < kDegree18.products + high.squarings;
  return lower_is_cheaper ? low : high;
}

template std::optional<TaylorPlan> PlanTaylor<float>(absl::Span<const double>);
template std::optional<TaylorPlan> PlanTaylor<double>(absl::Span<const double>);

}  // namespace attend::compute
