// How exp of a generator is computed: the degree of the series, the number of squarings, and the Poisson weights of
// the action. Pure functions; thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_PLAN_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_PLAN_H_

#include <cstdint>
#include <vector>

#include "server/compute/matrix_exp/wide_matrix.h"

namespace attend::compute {

// exp(R) ~ (sum over k <= degree of (R / 2^squarings)^k / k!)^(2^squarings); degree = block * blocks.
struct SeriesPlan {
  int block = 1;   // powers R .. R^block are formed: block - 1 products
  int blocks = 1;  // Horner over these: blocks - 1 products
  int squarings = 0;
  int horizon = 0;  // squarings up to which the sum is accurate enough: one of a few numbers, >= squarings

  int degree() const { return block * blocks; }
  int products() const { return block - 1 + blocks - 1; }
};

// Most chains settle within as many squarings, whatever the norm.
inline constexpr int kExpectedSquarings = 14;

// The cheapest plan whose truncation changes no entry of exp by more than 2^-64 (kDouble: 2^-44) of itself.
// `log2_rate_time`: log2 of time * max |g_ii|. `log2_least_rate_time`: log2 of time * the least off-diagonal entry,
// -infinity where some are zero: then paths of n - 1 jumps may carry an entry, and the degree has to reach them.
// Where the least entry decides, a doubled time takes the same plan with one more squaring, up to the horizon.
SeriesPlan PlanSeries(int64_t n, double log2_rate_time, double log2_least_rate_time, Precision precision);

// Up to this time * max |g_ii|, the action's products in double round little enough for a result in double: about this
// many of them matter, each adds about 1/2 unit of roundoff of the largest entry, and averages what came before.
inline constexpr double kMaxPlainRateTime = 4;

// Poisson probabilities of rate L: weight[k - first] for k in [first, first + weight.size()), sum 1; what is left out
// is below 2^-60.
struct PoissonWeights {
  int64_t first = 0;
  std::vector<double> weight;

  int64_t last() const { return first + static_cast<int64_t>(weight.size()) - 1; }
};
PoissonWeights PoissonWeightsFor(double rate);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_PLAN_H_
