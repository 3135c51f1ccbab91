// The diagonal scaling that brings one class of a Markov chain as near to a symmetric matrix as it can be. Pure
// functions, thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_CLASS_SCALING_H_
#define ATTEND_SERVER_COMPUTE_LIE_CLASS_SCALING_H_

#include <cstdint>
#include <vector>

#include "server/compute/gemm.h"

namespace attend::compute {

// With weights w in proportion to the stationary distribution, H = diag(sqrt w) S diag(1 / sqrt w) has the eigenvalues
// of S, its 2-norm is at most 1, and it is symmetric where the chain is reversible (Levin, Peres and Wilmer 2009,
// 12.1). Weights are kept as logarithms: they may be thousands of orders of magnitude apart.
struct DetailedBalance {
  std::vector<double> log_weights;  // [states]
  // ||H - H^T||_inf / 2, measured with all entries: no eigenvalue of H is farther from one of (H + H^T) / 2 (Bauer and
  // Fike 1960). Infinite where no tree of pairs that lead both ways joins the states.
  double asymmetry = 0;
};

// Up to here a chain counts as reversible: what the rounding of its entries in double leaves, and of their weights.
inline constexpr double kReversible = 1e-10;

// Of the states of one communicating class of s [n, n], closed or not: ratios w_j / w_i = s_ij / s_ji along the
// spanning tree of the largest sqrt(s_ij s_ji) (Prim 1957). O(states^2).
DetailedBalance BalanceOfClass(const Matrix<const double>& s, const std::vector<int64_t>& states);

// The logarithms of the weights to scale with: those of `balance` where they make the class nearly symmetric, else pi
// (zeros as 1e-300), else none at all.
std::vector<double> ChooseWeights(const DetailedBalance& balance, const std::vector<int64_t>& states,
                                  const std::vector<double>& pi);

// h = diag(sqrt w) S diag(1 / sqrt w) on these states.
void ScaleClass(const Matrix<const double>& s, const std::vector<int64_t>& states,
                const std::vector<double>& log_weights, const Matrix<double>& h);

// h_ij = sqrt(s_ij s_ji): what (H + H^T) / 2 is but for the square of the asymmetry, without any weights.
void SymmetrizeClass(const Matrix<const double>& s, const std::vector<int64_t>& states, const Matrix<double>& h);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_CLASS_SCALING_H_
