#include "server/compute/matrix_exp/generator_plan.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

double Log2Factorial(double k) { return std::lgamma(k + 1) / std::log(2.0); }

// log2(a + b) from log2 of either.
double Log2Sum(double a, double b) {
  const double larger = std::max(a, b);
  return larger + std::log2(1 + std::exp2(std::min(a, b) - larger));
}

// The number of jumps, as log2, beyond which paths no longer matter for any entry: one is carried by at most n - 1
// jumps to new states, and around them about Poisson(rate) further ones.
double Log2LongestPath(int64_t n, double log2_rate) {
  const double log2_mean = Log2Sum(log2_rate, std::log2(static_cast<double>(n)));
  return Log2Sum(log2_mean, std::log2(12) + std::max(log2_mean / 2, 2.0));
}

// What entries are like, as log2.
struct Magnitudes {
  double rate = 0;          // time * max |g_ii|
  double longest_path = 0;  // jumps
  double spread = 0;        // max |g_ii| over the least off-diagonal entry; infinity where some are zero
};

double Squarings(const Magnitudes& log2, double degree, double tail_bits, double horizon) {
  const double beyond = degree + 1;
  // That some one of 2^s steps takes more than `degree` of the jumps has a probability of at most
  // 2^s binomial(jumps, degree + 1) 2^(-s (degree + 1)).
  const double by_paths = (beyond * log2.longest_path - Log2Factorial(beyond) + tail_bits) / degree;
  // With x = rate / 2^s <= 1, what the step leaves out is below 2 x^(degree + 1) / (degree + 1)!, its entries are at
  // least x / spread, and normalizing the rows doubles their relative error, as each squaring does.
  const double log2_step = (Log2Factorial(beyond) - tail_bits - horizon - 2 - log2.spread) / degree;
  const double by_entries = log2.rate - std::min(log2_step, 0.0);
  return std::max(0.0, std::ceil(std::min(by_paths, by_entries)));
}

SeriesPlan PlanWithin(int horizon, const Magnitudes& log2, double tail_bits) {
  SeriesPlan best;
  double least_cost = INFINITY;
  for (int block = 2; block <= 5; ++block) {
    for (int blocks = block - 1; blocks <= block; ++blocks) {
      const double squarings = Squarings(log2, block * blocks, tail_bits, horizon);
      const double cost = block + blocks - 2 + squarings;
      // Among equals the one with more powers, which several times share.
      if (cost > least_cost) continue;
      least_cost = cost;
      best = {block, blocks, static_cast<int>(squarings), horizon};
    }
  }
  return best;
}

}  // namespace

SeriesPlan PlanSeries(int64_t n, double log2_rate_time, double log2_least_rate_time, Precision precision) {
  const double tail_bits = precision == Precision::kDouble ? 44 : 64;
  const Magnitudes log2 = {log2_rate_time, Log2LongestPath(n, log2_rate_time), log2_rate_time - log2_least_rate_time};
  for (int horizon : {6, 10, kExpectedSquarings}) {
    const SeriesPlan plan = PlanWithin(horizon, log2, tail_bits);
    if (plan.squarings <= horizon) return plan;
  }
  for (int horizon = 32;; horizon *= 2) {
    const SeriesPlan plan = PlanWithin(horizon, log2, tail_bits);
    if (plan.squarings <= horizon) return plan;
  }
}

PoissonWeights PoissonWeightsFor(double rate) {
  // From the mode outwards, so that nothing under- or overflows; long double keeps the recurrence exact enough.
  constexpr long double kCut = 0x1p-66L;
  const int64_t mode = static_cast<int64_t>(rate);
  std::vector<long double> below, above;
  for (long double w = 1, k = static_cast<long double>(mode); k > 0 && w > kCut; --k) {
    w *= k / rate;
    below.push_back(w);
  }
  for (long double w = 1, k = static_cast<long double>(mode) + 1; w > kCut; ++k) {
    w *= rate / k;
    above.push_back(w);
  }
  PoissonWeights result;
  result.first = mode - static_cast<int64_t>(below.size());
  std::reverse(below.begin(), below.end());
  below.push_back(1);
  below.insert(below.end(), above.begin(), above.end());
  long double sum = 0;
  for (long double w : below) sum += w;
  for (long double w : below) result.weight.push_back(static_cast<double>(w / sum));
  return result;
}

}  // namespace attend::compute
