// The leading singular triplets of one matrix, in double: A ~ sum_i values[i] left_i right_i^T. Two ways to them.
// Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_TRIPLETS_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_TRIPLETS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// How many triplets.
struct RankRule {
  std::optional<int64_t> rank;  // so many, or
  double energy = 1;            // the fewest whose squared values make this share of the whole
  double epsilon = 0;           // unit of roundoff of the input's type, see NumericalRank
};

struct Triplets {
  int64_t rank = 0;
  runtime::Buffer left;        // [rank, n]
  runtime::Buffer right;       // [rank, m]
  std::vector<double> values;  // those known, largest first: at least `rank`
  bool randomized = false;
  bool all_values_known = true;   // all that exceed rounding
  double total_square = 0;        // sum of all squared values
  double distance_over_best = 1;  // how far the sum's distance from A may be above the best possible; 1: it is the best
};

// How many of the values exceed max(rows, cols) * epsilon times the largest. REQUIRES: largest first.
int64_t CountAboveRounding(const std::vector<double>& values, int64_t rows, int64_t cols, double epsilon);

// The fewest leading values whose squares make `energy` of all squares. Values that do not exceed rounding count as 0,
// so that energy 1 gives the numerical rank.
int64_t RankForEnergy(const std::vector<double>& values, double energy, int64_t rows, int64_t cols, double epsilon);

// A [n, m] in `a`, row-major, or transposed where n > m ([m, n]); destroyed. See svd.h.
absl::StatusOr<Triplets> ExactTriplets(runtime::Executor& executor, runtime::BufferPool& pool, double* a, int64_t n,
                                       int64_t m, const RankRule& rule);
// All values alone, with the same conditions.
absl::StatusOr<std::vector<double>> SingularValues(runtime::Executor& executor, runtime::BufferPool& pool, double* a,
                                                   int64_t n, int64_t m);

// By block power iteration on a random sketch (Halko, Martinsson and Tropp 2011), a [n, m] row-major: some products
// with a few vectors in place of a decomposition. The sketch's numbers follow from the shape alone.
//
// Each sweep measures what the sketch misses: ||A - Q Q^T A|| in the Frobenius norm, and how much the `rank` values
// grew since the last one. It stops where the distance is at most 1e-4 above the best possible as estimated from these,
// and returns nothing where kMostSweeps do not get there.
absl::StatusOr<std::optional<Triplets>> RandomizedTriplets(runtime::Executor& executor, runtime::BufferPool& pool,
                                                           const double* a, int64_t n, int64_t m, int64_t rank,
                                                           double epsilon);

// Whether the sketch is worth trying: at least 1024 rows and columns, and 32 of them per triplet.
bool WorthRandomizing(int64_t n, int64_t m, int64_t rank);

double RandomizedWorkspaceBytes(int64_t n, int64_t m, int64_t rank);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_TRIPLETS_H_
