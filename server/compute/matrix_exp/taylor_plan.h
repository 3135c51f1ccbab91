// The degree of the Taylor polynomial and the number of squarings for exp(B), from norms of powers of B.
// Pure functions; thread-safe.
//
// T_m(B / 2^s)^(2^s) is exp(B + E) with |E| <= unit roundoff * |B| when sum over k of |c_k| |(B / 2^s)^k| <= unit
// roundoff
// * |B / 2^s|, where log(exp(-x) T_m(x)) = sum of c_k x^k, k > m. |B^k| is bounded by products of norms of powers at
// hand, the least that any partition of k into their exponents gives: far below |B|^k where B is not normal, and for a
// random matrix too. The sum holds where |B^k| <= |B| (2^s theta_m)^(k-1) 2^(d (k-m-1)) for every k > m, and theta_m is
// the largest x with sum of |c_k| x^(k-1) 2^(d (k-m-1)) <= unit roundoff, computed with 60 digits. d is 1/2 for degree
// 15, whose |c_k| fall so fast that it costs nothing to speak of, and 0 for the others. Source: Al-Mohy and Higham 2009
// and 2011, who bound |B^k| by powers of one number. The degrees are those of taylor_polynomial.h.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"

namespace attend::compute {

struct TaylorPlan {
  int degree = 0;  // 2, 4, 8, 15 or 18; 17 in squares; where the series ends, that of its last term: 1, 2 or 5
  int64_t squarings = 0;
  double truncation = 1;    // changes the matrix by this many units of roundoff of itself, at most
  bool ends = false;        // the powers beyond are zero: there is nothing to square
  bool in_squares = false;  // degree 17 as E(B^2) + B O(B^2), for a square that cancels: no other product of B with B
};

struct PowerNorm {
  int k = 0;
  double log_norm = 0;  // log2 |B^k|_1, -infinity where the power is zero
};

// The cheapest plan of degrees 2, 4, 8 and 18, from the norms of B and B^2, and with them B^3 and B^6, which degree 18
// is made of. nullopt where it takes degree 18 and those two are missing.
template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const PowerNorm> norms);

// The cheapest plan of the degrees that are made of B and B^2 alone: 2, 4, 8 and 15. `norms` begin with those of B and
// B^2; others, of powers that nobody forms, ascend from there.
template <typename T>
TaylorPlan PlanTaylorOfTwoPowers(absl::Span<const PowerNorm> norms);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
