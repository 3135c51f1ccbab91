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
  double most_over_best = 1;    // how many times the best distance is near enough; 1: only the exact method is
};

struct Triplets {
  int64_t rank = 0;
  runtime::Buffer left;        // [rank, n]
  runtime::Buffer right;       // [rank, m]
  std::vector<double> values;  // those known, largest first: at least `rank`
  bool randomized = false;
  bool all_values_known = true;   // all that exceed rounding
  double total_square = 0;        // sum of all squared values
  double distance_over_best = 1;  // the sum's distance from A is at most so many times the best possible, or rounding
  // max ||A^T left_i - values[i] right_i||, ||A right_i - values[i] left_i||, measured where randomized; 0: rounding
  double residual = 0;
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

// From a block Krylov space (krylov_basis.h), a [n, m] row-major with entries up to about 1: some products with a few
// vectors in place of a decomposition. Its numbers follow from the shape alone.
//
// After a block or some it measures what the space misses, ||A - A Z^T Z|| in the Frobenius norm, and the residuals of
// its triplets; these bound the best distance from below (overlooked.h). It stops where the distance is at most
// rule.most_over_best of that, or is rounding, and returns nothing where a space of half the smaller side does not get
// there, or will not by the trend; or where its basis is not orthonormal or its triplets do not fit A as it says, both
// measured. Adds what it took to `flops`, which may be null. REQUIRES: rule.rank is set, at least 1.
absl::StatusOr<std::optional<Triplets>> RandomizedTriplets(runtime::Executor& executor, runtime::BufferPool& pool,
                                                           const double* a, int64_t n, int64_t m, const RankRule& rule,
                                                           double* flops = nullptr);

// Whether the sketch is worth trying: at least 512 rows and columns, and 32 of them per triplet.
bool WorthRandomizing(int64_t n, int64_t m, int64_t rank);

double RandomizedWorkspaceBytes(int64_t n, int64_t m, int64_t rank, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_TRIPLETS_H_
