// The nearest row of a generator: off-diagonal entries at least 0, the row's sum 0. Thread-safe. T is float or double.
//
// For a row m with its diagonal at place i, minimize ||p - m||^2 over the cone {p : p_j >= 0 for j != i, sum p = 0}: a
// convex problem with one solution, and rows do not touch each other, so that the rows' solutions are the matrix
// nearest in the Frobenius norm. With a multiplier c for the sum and u_j >= 0 for the bounds, its optimality conditions
// are
//
//   p_i = m_i - c,    p_j = m_j - c + u_j,    u_j p_j = 0    hence    p_j = max(0, m_j - c) for j != i,
//
// and c is the root of f(c) = m_i - c + sum_{j != i} max(0, m_j - c), which falls strictly (slope at most -1): there is
// exactly one. Let S be the entries above c: then c = (m_i + sum_S m_j) / (1 + |S|).
//
// Finding S: f is convex and piecewise linear. Newton's iteration from S = all (c_0 = the row's mean, f(c_0) >= 0)
// moves c up without passing the root, since a convex function lies above its tangents; each step drops from S what no
// longer exceeds c, nothing comes back, and it ends at the exact S when nothing is dropped (Michelot 1986). That takes
// a few passes over ever fewer entries; after kMostPasses of them, what remains is sorted and cut where the k largest
// give a c that the next one does not exceed (Held, Wolfe and Crowder 1974): O(n log n) at worst.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_GENERATOR_ROW_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_GENERATOR_ROW_H_

#include <cstdint>

namespace attend::compute {

// out[0, n) from row[0, n), which is finite and does not overlap `out`; 0 <= diagonal < n; `scratch` holds n doubles.
// Off-diagonal entries are rounded once; the diagonal is the rounded negative of their exact sum, so that the row sums
// to 0 to within half a unit in the diagonal's last place. A row that is so already comes back as it is. An entry that
// overflows T becomes an infinity.
template <typename T>
void NearestGeneratorRow(const T* row, int64_t n, int64_t diagonal, double* scratch, T* out);

// -(sum of row[j], j != diagonal), rounded once.
template <typename T>
T BalancingDiagonal(const T* row, int64_t n, int64_t diagonal);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_GENERATOR_ROW_H_
