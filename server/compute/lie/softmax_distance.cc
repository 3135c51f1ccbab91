#include "server/compute/lie/softmax_distance.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace attend::compute {
namespace {

template <typename T>
SoftmaxDistance Distance(int64_t n, const T* scores, const T* weights) {
  SoftmaxDistance distance;
  double total = 0;
  int64_t rows = 0;
  for (int64_t i = 0; i < n; ++i, scores += n, weights += n) {
    const auto largest = static_cast<double>(*std::max_element(scores, scores + n));
    if (!(largest > -std::numeric_limits<double>::infinity())) continue;
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += std::exp(static_cast<double>(scores[j]) - largest);
    double row = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double softmax = std::exp(static_cast<double>(scores[j]) - largest) / sum;
      const double difference = std::fabs(softmax - static_cast<double>(weights[j]));
      distance.max = std::max(distance.max, difference);
      row += difference;
    }
    distance.max_total_variation = std::max(distance.max_total_variation, row / 2);
    total += row;
    ++rows;
  }
  if (rows > 0) distance.mean = total / (static_cast<double>(rows) * static_cast<double>(n));
  return distance;
}

}  // namespace

template <typename T>
absl::Status SoftmaxDistances(runtime::Executor& executor, int64_t batch, int64_t n, const T* scores, const T* weights,
                              std::vector<SoftmaxDistance>& distances) {
  distances.assign(static_cast<size_t>(batch), SoftmaxDistance{});
  const double tile_flops = 40 * static_cast<double>(n) * static_cast<double>(n);
  return executor.ForEachTile(batch, tile_flops, [&](int64_t index, int) {
    const int64_t begin = index * n * n;
    distances[static_cast<size_t>(index)] = Distance(n, scores + begin, weights + begin);
    return absl::OkStatus();
  });
}

template absl::Status SoftmaxDistances(runtime::Executor&, int64_t, int64_t, const float*, const float*,
                                       std::vector<SoftmaxDistance>&);
template absl::Status SoftmaxDistances(runtime::Executor&, int64_t, int64_t, const double*, const double*,
                                       std::vector<SoftmaxDistance>&);

}  // namespace attend::compute
