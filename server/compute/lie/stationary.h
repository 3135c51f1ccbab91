// The stationary distribution of a Markov chain. Thread-safe; runs on the calling thread.
#ifndef ATTEND_SERVER_COMPUTE_LIE_STATIONARY_H_
#define ATTEND_SERVER_COMPUTE_LIE_STATIONARY_H_

#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/cancellation.h"

namespace attend::compute {

// pi with pi S = pi, sum 1, from s [n, n] (entries >= 0) whose only closed class is `closed`; 0 on all other states.
// Only off-diagonal entries are read: the diagonal is what is missing to 1, so that no row needs to sum to 1 exactly.
//
// Elimination of one state after the other without any subtraction (Grassmann, Taksar and Heyman 1985): every entry has
// a relative error of at most some 9 n^2 units of roundoff, in the worst case, whatever its size (O'Cinneide 1993).
// 2/3 n^3 operations, one matrix [n, n] of doubles. Polls `cancelled` between states.
//
// Empty where probabilities of more than 300 decimal orders apart underflow on the way.
absl::Status StationaryDistribution(const runtime::Cancellation& cancelled, runtime::BufferPool& pool,
                                    const Matrix<const double>& s, const std::vector<int64_t>& closed,
                                    std::vector<double>& pi);

// max_j |(pi S)_j - pi_j|.
double StationaryResidual(const Matrix<const double>& s, const std::vector<double>& pi);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_STATIONARY_H_
