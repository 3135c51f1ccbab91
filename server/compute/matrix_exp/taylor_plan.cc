#include "server/compute/matrix_exp/taylor_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace attend::compute {
namespace {

struct Degree {
  int block;
  int blocks;
  double theta_double;
  double theta_float;
};

constexpr Degree kDegrees[] = {
    {2, 1, 2.5809568029717672e-8, 5.9788588938052333e-4}, {2, 2, 3.3971688399769619e-4, 5.1166193634450862e-2},
    {3, 2, 9.0656564075951024e-3, 2.4952893228466977e-1}, {3, 3, 8.9577602032233427e-2, 7.795113374358031e-1},
    {4, 3, 2.9961589138115805e-1, 1.4616615072090336},    {4, 4, 7.8028742566265743e-1, 2.4782808775219714},
    {5, 4, 1.4382525968043369, 3.5509262147064952},       {5, 5, 2.4285825244428264, 4.9268998437559112},
};

// log2 |B^k|, or the least bound of it that the powers at hand give.
double LogNorm(const LogNorms& norms, int k) {
  const int known = static_cast<int>(norms.size());
  if (k <= known) return norms[static_cast<size_t>(k - 1)];
  double least = std::numeric_limits<double>::infinity();
  for (int i = 1; i <= known; ++i) least = std::min(least, norms[static_cast<size_t>(i - 1)] + LogNorm(norms, k - i));
  return least;
}

double LogAlpha(const LogNorms& norms, int degree) {
  double alpha = norms[0];
  for (int p = 2; p * (p - 1) <= degree + 1 && p <= static_cast<int>(norms.size()); ++p) {
    alpha = std::min(alpha, std::max(LogNorm(norms, p) / p, LogNorm(norms, p + 1) / (p + 1)));
  }
  return alpha;
}

// Powers of B / 2^s stay far from overflow, also where alpha is small because they cancel.
template <typename T>
int64_t SquaringsForRange(const LogNorms& norms, int block) {
  constexpr double kLargestLog = std::is_same_v<T, float> ? 20 : 100;
  double squarings = 0;
  for (int k = 1; k <= block; ++k) {
    squarings = std::max(squarings, std::ceil(norms[static_cast<size_t>(k - 1)] / k - kLargestLog / k));
  }
  return static_cast<int64_t>(squarings);
}

}  // namespace

template <typename T>
std::optional<TaylorPlan> PlanTaylor(const LogNorms& log_norms) {
  const int powers = static_cast<int>(log_norms.size());
  std::optional<TaylorPlan> best;
  int64_t least_cost = std::numeric_limits<int64_t>::max();
  for (const Degree& degree : kDegrees) {
    if (degree.block > powers) break;
    const double theta = std::is_same_v<T, float> ? degree.theta_float : degree.theta_double;
    const double excess = std::ceil(LogAlpha(log_norms, degree.block * degree.blocks) - std::log2(theta));
    const int64_t squarings =
        std::max(excess > 0 ? static_cast<int64_t>(excess) : int64_t{0}, SquaringsForRange<T>(log_norms, degree.block));
    // At the same price the higher degree: squarings double the error.
    const int64_t cost = degree.blocks - 1 + squarings;
    if (cost > least_cost) continue;
    if (cost == least_cost && best && best->squarings == squarings) continue;
    least_cost = cost;
    best = TaylorPlan{degree.block, degree.blocks, squarings};
  }
  if (best->squarings > 0 && powers < kMostPowers<T>) return std::nullopt;
  return best;
}

template std::optional<TaylorPlan> PlanTaylor<float>(const LogNorms&);
template std::optional<TaylorPlan> PlanTaylor<double>(const LogNorms&);

}  // namespace attend::compute
