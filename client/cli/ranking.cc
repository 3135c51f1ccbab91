#include "client/cli/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace attend::cli {
namespace {

RowDistance CompareHead(absl::Span<const double> a, absl::Span<const double> b, size_t rows) {
  RowDistance distance;
  const size_t columns = rows == 0 ? 0 : a.size() / rows;
  for (size_t row = 0; row < rows; ++row) {
    double difference = 0;
    double sum = 0;
    for (size_t i = row * columns; i < (row + 1) * columns; ++i) {
      difference += std::fabs(a[i] - b[i]);
      sum += b[i];
    }
    distance.mean_total_variation += difference / 2 / static_cast<double>(rows);
    distance.max_total_variation = std::max(distance.max_total_variation, difference / 2);
    distance.max_row_sum_error = std::max(distance.max_row_sum_error, std::fabs(sum - 1));
  }
  return distance;
}

}  // namespace

std::vector<Attended> TopKeys(absl::Span<const double> row, size_t count) {
  std::vector<size_t> order(row.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [row](size_t a, size_t b) { return row[a] > row[b]; });
  std::vector<Attended> top;
  for (size_t i = 0; i < std::min(count, order.size()); ++i) top.push_back({order[i], row[order[i]]});
  return top;
}

std::vector<double> MeanOverHeads(absl::Span<const double> weights, size_t heads) {
  std::vector<double> mean(weights.size() / heads, 0.0);
  for (size_t i = 0; i < weights.size(); ++i) mean[i % mean.size()] += weights[i] / static_cast<double>(heads);
  return mean;
}

double LargestDifference(absl::Span<const double> a, absl::Span<const double> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

std::vector<RowDistance> CompareRows(absl::Span<const double> a, absl::Span<const double> b, size_t heads,
                                     size_t rows) {
  std::vector<RowDistance> distances;
  const size_t head_size = a.size() / heads;
  for (size_t head = 0; head < heads; ++head) {
    distances.push_back(
        CompareHead(a.subspan(head * head_size, head_size), b.subspan(head * head_size, head_size), rows));
  }
  return distances;
}

std::string PlainToken(const std::string& token) {
  const std::string mark = "\xe2\x96\x81";
  return token.size() > mark.size() && token.compare(0, mark.size(), mark) == 0 ? token.substr(mark.size()) : token;
}

}  // namespace attend::cli
