// How many steps a chain takes to forget where it began. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_
#define ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/lie/step_powers.h"

namespace attend::compute {

// Longest time looked at.
inline constexpr int64_t kLongestMixingTime = int64_t{1} << kMostSquarings;

// The smallest t >= 0 with max_i sum_j |S^t[i, j] - pi[j]| / 2 <= 1/4 (Levin, Peres and Wilmer 2009, 4.5), or nullopt
// where it exceeds kLongestMixingTime; 0 for n = 1 alone. `powers` are those of S [n, n] with the only stationary
// distribution pi.
//
// That distance never grows with t: powers by squaring until it is small, then bisection with the powers kept, O(log t)
// products. At most StepPowers::MostMatrices() matrices are held, about log2 t + 2 of them in fact.
absl::Status MixingTime(StepPowers& powers, const std::vector<double>& pi, std::optional<int64_t>& steps);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_MIXING_TIME_H_
