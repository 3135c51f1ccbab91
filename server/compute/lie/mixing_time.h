// How many steps a chain takes to forget where it began. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_
#define ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Longest time looked at: beyond it, rounding in that many squarings would decide.
inline constexpr int kMixingSquarings = 30;
inline constexpr int64_t kLongestMixingTime = int64_t{1} << kMixingSquarings;

// The smallest t >= 0 with max_i sum_j |S^t[i, j] - pi[j]| / 2 <= 1/4 (Levin, Peres and Wilmer 2009, 4.5), or nullopt
// where it exceeds kLongestMixingTime; 0 for n = 1 alone. s [n, n] is row-stochastic with the only stationary
// distribution pi.
//
// That distance never grows with t: powers by squaring until it is small, then bisection with the powers kept, O(log t)
// products. Rows are normalized after each product. Entries of S^t carry relative errors of up to some t n roundoff.
// Memory: at most MixingTimeMatrices() matrices [n, n] of doubles, about log2 t + 2 of them in fact.
absl::Status MixingTime(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                        const std::vector<double>& pi, std::optional<int64_t>& steps);

constexpr int MixingTimeMatrices() { return kMixingSquarings + 3; }

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_
