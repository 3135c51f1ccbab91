// The degree of the Taylor polynomial and the number of squarings for exp(B), from norms of powers of B.
// Pure functions; thread-safe.
//
// T_m(B / 2^s)^(2^s) is exp(B + E) with |E| <= unit roundoff * |B| when alpha / 2^s <= theta_m, where alpha may be
// max(|B^p|^(1/p), |B^(p+1)|^(1/(p+1))) for any p with p (p - 1) <= m + 1: far below |B| where B is not normal.
// Source: Al-Mohy and Higham 2009 (alpha), Al-Mohy and Higham 2011 (the bound for Taylor polynomials). theta_m: the
// largest x with sum over k of |c_k| x^(k-1) <= unit roundoff, where log(exp(-x) T_m(x)) = sum of c_k x^k, computed
// with 60 digits. The degrees are those of taylor_polynomial.h.
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

// The powers that degree 18 needs norms of; the others need two.
inline constexpr int kPowersToPlan = 3;

// `log_norms`: log2 |B^k|_1 for k = 1 .. size(), -infinity where the power is zero. The cheapest plan; nullopt where the
// third power is needed to tell. REQUIRES: two or three powers; three give a plan.
template <typename T>
std::optional<TaylorPlan> PlanTaylor(absl::Span<const double> log_norms);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
