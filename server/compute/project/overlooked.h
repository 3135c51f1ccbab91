// How much a subspace may have overlooked: a bound from what it measured. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_

#include <cstdint>
#include <vector>

namespace attend::compute {

// By how much the sum of A's `rank` largest squared singular values may exceed that of values[0 .. rank).
//
// The values (largest first, `size` of them) are those of U A Z^T with A Z^T = U^T T, residuals[i] = ||A^T u_i - s_i v_i||
// of the leading min(rank + 1, size). Write M = A^T A in the basis of v_1 .. v_rank and its complement, M = [[diag(s^2), R^T],
// [R, H]]: column i of R has norm rho_i = s_i residuals[i]. If H has no eigenvalue above eta, then for any orthonormal
// [V1; V2] of `rank` columns and d_i = ||row i of V1||^2
//
//   trace = sum_i s_i^2 d_i + 2 trace(V2^T R V1) + trace(V2^T H V2) <= sum_i s_i^2 d_i + 2 rho_i sqrt(d_i (1 - d_i)) + eta (1 - d_i)
//
// since row i of V1 times V2^T V2 = I - V1^T V1 has norm at most sqrt(d_i (1 - d_i)). So the sum of the largest eigenvalues
// of M is at most the sum of the larger eigenvalues of [[s_i^2, rho_i], [rho_i, eta]] (2 x 2).
//
// eta is taken from the next triplet: s^2 + rho (there is an eigenvalue that near to s^2). That this is the largest left
// is what the random start stands for: a leading vector of which none of the random ones has a part is missed for good.
double OverlookedSquares(const double* values, const std::vector<double>& residuals, int64_t rank, int64_t size);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_
