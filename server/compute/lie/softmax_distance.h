// How far attention as a group action is from softmax attention of the same scores. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_LIE_SOFTMAX_DISTANCE_H_
#define ATTEND_SERVER_COMPUTE_LIE_SOFTMAX_DISTANCE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Over the rows that see a key (a score above -infinity); all 0 where none does.
struct SoftmaxDistance {
  double max = 0;                  // max |softmax - S|
  double mean = 0;                 // mean of |softmax - S|
  double max_total_variation = 0;  // max over rows of sum |softmax - S| / 2
};

// Of each of `batch` pairs of scores and weights [n, n]; softmax in double. Fails only with the executor's errors.
template <typename T>
absl::Status SoftmaxDistances(runtime::Executor& executor, int64_t batch, int64_t n, const T* scores, const T* weights,
                              std::vector<SoftmaxDistance>& distances);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_SOFTMAX_DISTANCE_H_
