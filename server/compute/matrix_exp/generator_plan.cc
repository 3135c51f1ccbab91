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

// The number of jumps, as log2, beyond which paths no longer matter for any entry.
double Log2LongestPath(int64_t n, double log2_rate, double log2_least, double tail_bits) {
  // An entry is carried by at most n - 1 jumps to new states, and around them about Poisson(rate) further ones.
  const double states = static_cast<double>(n - 1);
  const double log2_mean = Log2Sum(log2_rate, std::log2(states + 1));
  const double general = Log2Sum(log2_mean, std::log2(12) + std::max(log2_mean / 2, 2.0));
  if (!std::isfinite(log2_least) || log2_rate > 10) return general;
  // All jumps possible: an entry is at least `least`, paths of k jumps add at most rate^k / k!.
  double jumps = std::max(2.0, std::ceil(2 * std::exp2(log2_rate)));
  while (std::log2(jumps) < general && jumps * log2_rate - Log2Factorial(jumps) > log2_least - tail_bits) ++jumps;
  return std::min(general, std::log2(jumps));
}

}  // namespace

SeriesPlan PlanSeries(int64_t n, double log2_rate_time, double log2_least_rate_time, Precision precision) {
  const double tail_bits = precision == Precision::kDouble ? 44 : 64;
  const double log2_jumps = Log2LongestPath(n, log2_rate_time, log2_least_rate_time, tail_bits);
  SeriesPlan best;
  double least_cost = INFINITY;
  for (int block = 2; block <= 5; ++block) {
    for (int blocks = block - 1; blocks <= block; ++blocks) {
      // That some one of 2^s steps takes more than `degree` of the jumps has a probability of at most
      // 2^s binomial(jumps, degree + 1) 2^(-s (degree + 1)).
      const double beyond = block * blocks + 1;
      const double bits = beyond * log2_jumps - Log2Factorial(beyond) + tail_bits;
      const double squarings = std::max(0.0, std::ceil(bits / (beyond - 1)));
      const double cost = block + blocks - 2 + squarings;
      if (cost >= least_cost) continue;
      least_cost = cost;
      best = {block, blocks, static_cast<int>(squarings)};
    }
  }
  return best;
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
