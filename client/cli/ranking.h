// What attention weights say: who looks at whom, and how far two sets of weights are apart. Pure functions,
// thread-safe. Weights are row-major [heads, n, m].
#ifndef ATTEND_CLIENT_CLI_RANKING_H_
#define ATTEND_CLIENT_CLI_RANKING_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace attend::cli {

struct Attended {
  size_t key;
  double weight;
};

// The keys of one row with the largest weights, largest first; of equal ones the earlier key first.
std::vector<Attended> TopKeys(absl::Span<const double> row, size_t count);

// [n, m]: the mean over the heads.
std::vector<double> MeanOverHeads(absl::Span<const double> weights, size_t heads);

// max |a - b| over the elements; infinity where the lengths differ or an element is NaN.
double LargestDifference(absl::Span<const double> a, absl::Span<const double> b);

// One head's rows of two sets of weights against each other.
struct RowDistance {
  double mean_total_variation = 0;  // half the sum of |a - b| of a row, mean over the rows
  double max_total_variation = 0;
  double max_row_sum_error = 0;  // |row sum - 1| of b
};
// One per head. REQUIRES: a and b have heads * rows * columns elements.
std::vector<RowDistance> CompareRows(absl::Span<const double> a, absl::Span<const double> b, size_t heads, size_t rows);

// "▁animal" -> "animal": without the tokenizer's mark for a word's begin; a piece of nothing else stays.
std::string PlainToken(const std::string& token);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_RANKING_H_
