// The degree of the Taylor polynomial and the number of squarings for exp(B), from norms of powers of B.
// Pure functions; thread-safe.
//
// T_m(B / 2^s)^(2^s) is exp(B + E) with |E| <= unit roundoff * |B| when alpha / 2^s <= theta_m, where alpha^k bounds
// |B^k| for every k > m. Here |B^k| is bounded by products of norms of powers at hand, the least that any partition of
// k into their exponents gives: alpha is then far below |B| where B is not normal, and for a random matrix too. Source:
// Al-Mohy and Higham 2009 (alpha), Al-Mohy and Higham 2011 (the bound for Taylor polynomials). theta_m: the largest x
// with sum over k of |c_k| x^(k-1) <= unit roundoff, where log(exp(-x) T_m(x)) = sum of c_k x^k, computed with 60
// digits. The degrees are those of taylor_polynomial.h.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"

namespace attend::compute {

struct TaylorPlan {
  int degree = 0;  // 2, 4, 8 or 18
  int64_t squarings = 0;
  double truncation = 1;  // changes the matrix by this many units of roundoff of itself, at most
};

struct PowerNorm {
  int k = 0;
  double log_norm = 0;  // log2 |B^k|_1, -infinity where the power is zero
};

// The cheapest plan, from the norms of B and B^2, and with them B^3 and B^6, which degree 18 is made of. nullopt where
// it takes degree 18 and those two are missing.
template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const PowerNorm> norms);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
