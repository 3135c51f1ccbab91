// The degree of the Taylor polynomial and the number of squarings for exp(B), from norms of powers of B.
// Pure functions; thread-safe.
//
// T_m(B / 2^s)^(2^s) is exp(B + E) with |E| <= unit roundoff * |B| when alpha / 2^s <= theta_m, where alpha may be
// max(|B^p|^(1/p), |B^(p+1)|^(1/(p+1))) for any p with p (p - 1) <= m + 1: far below |B| where B is not normal.
// Source: Al-Mohy and Higham 2009 (alpha), Al-Mohy and Higham 2011 (the bound for Taylor polynomials). theta_m: the
// largest x with sum over k of |c_k| x^(k-1) <= unit roundoff, where log(exp(-x) T_m(x)) = sum of c_k x^k, computed
// with 60 digits.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace attend::compute {

// Degree block * blocks, evaluated with the powers up to B^block and blocks - 1 further products.
struct TaylorPlan {
  int block = 1;
  int blocks = 1;
  int64_t squarings = 0;

  int degree() const { return block * blocks; }
};

// log2 |B^k|_1 for k = 1 .. size(), -infinity where the power is zero.
using LogNorms = std::vector<double>;

// The powers that are never exceeded: B^5 for double, B^4 for float.
template <typename T>
constexpr int kMostPowers = 5;
template <>
inline constexpr int kMostPowers<float> = 4;

// The plan with the powers at hand: without squarings where one of these degrees is enough, nullopt where a further
// power is worth its product. Never nullopt once kMostPowers are there. REQUIRES: at least two powers.
template <typename T>
std::optional<TaylorPlan> PlanTaylor(const LogNorms& log_norms);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_PLAN_H_
