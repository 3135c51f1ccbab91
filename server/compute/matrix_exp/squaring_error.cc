#include "server/compute/matrix_exp/squaring_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attend::compute {
namespace {

// Errors as large as the result no longer add up: each squaring squares them too. The bounds are some ten times what
// they bound.
constexpr double kMostFirstOrder = 16;
// Beyond this many squarings only the rigorous bound is worth its time.
constexpr size_t kMostInterpolated = 40;

}  // namespace

// log2 of what multiplies an error of X_level relative to its norm. log_product: the rigorous bound.
double SquaringError::LogGrowth(size_t level, double log_product) const {
  const size_t last = levels_.size() - 1;
  const size_t squarings = last - level;
  if (squarings < 2 || squarings > kMostInterpolated) return log_product;
  const double half = levels_[last - 1].log_norm;
  const double whole = levels_[last].log_norm;
  // log2 |exp(t B)| at t = 1 - h - i h in [1/2, 1].
  const double step = std::ldexp(1.0, -static_cast<int>(squarings));
  const auto late = [&](double i) {
    const double t = 1 - step - i * step;
    return half + (2 * t - 1) * (whole - half);
  };
  const double origin = levels_[level].log_norm - whole;
  double sum = std::exp2(late(0) + origin);
  for (size_t l = 0; l + 1 < squarings; ++l) {
    const double first = std::ldexp(1.0, static_cast<int>(l));  // i in [first, 2 first)
    const double begin = levels_[level + l].log_norm + late(first);
    const double end =
        levels_[level + l + 1].log_norm + late(std::min(2 * first, std::ldexp(0.5, static_cast<int>(squarings)) - 1));
    sum += first * std::exp2(std::max(begin, end) + origin);
  }
  constexpr double kSymmetry = 2;  // i and N - 1 - i
  return std::min(log_product, std::log2(kSymmetry * sum));
}

double SquaringError::Relative() const {
  double error = 0;
  double log_product = 0;
  for (size_t level = levels_.size(); level-- > 0;) {
    if (level + 1 < levels_.size()) {
      log_product += 1 + 2 * levels_[level].log_norm - levels_[level + 1].log_norm;
    }
    error += levels_[level].error * std::exp2(LogGrowth(level, log_product));
  }
  return error <= kMostFirstOrder ? error : 1e300;
}

}  // namespace attend::compute
