// How much a subspace may have overlooked: a bound from what it measured. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_

#include <cstdint>
#include <vector>

namespace attend::compute {

// By how much the sum of A's `rank` largest squared singular values may exceed that of values[0 .. rank).
//
// The values (largest first, `size` of them) are the s_i of triplets with A v_i = s_i u_i; residuals[i] is
// ||A^T u_i - s_i v_i||, of the leading min(rank + 1, size). In the basis of v_1 .. v_rank and its complement
//
//   A^T A = [[diag(s^2), R^T], [R, H]], and column i of R has norm rho_i = s_i residuals[i].
//
// If H has no eigenvalue above eta, then for any `rank` orthonormal columns [V1; V2], with d_i = ||row i of V1||^2,
//
//   trace = sum_i s_i^2 d_i + 2 trace(V2^T R V1) + trace(V2^T H V2)
//        <= sum_i s_i^2 d_i + 2 rho_i sqrt(d_i (1 - d_i)) + eta (1 - d_i),
//
// since V2^T V2 = I - V1^T V1 gives V2 (row i of V1)^T a norm of at most sqrt(d_i (1 - d_i)). So the sum of the largest
// eigenvalues of A^T A is at most that of the larger eigenvalue of each [[s_i^2, rho_i], [rho_i, eta]].
//
// eta is taken from the next triplet: s^2 + rho, an eigenvalue being that near to s^2. That none is left above it is
// what the random start stands for: a leading vector of which none of its vectors has a part is missed for good.
double OverlookedSquares(const double* values, const std::vector<double>& residuals, int64_t rank, int64_t size);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_OVERLOOKED_H_
