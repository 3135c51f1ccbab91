#include <algorithm>
#include <numeric>

#include "server/compute/project/svd.h"
#include "server/compute/project/triplets.h"

namespace attend::compute {
namespace {

// What LAPACK sees: the row-major [n, m] is the column-major transpose.
lapack::ColumnMajor Tall(double* a, int64_t n, int64_t m) {
  const int64_t rows = std::max(n, m);
  return {a, rows, std::min(n, m), rows};
}

double SumOfSquares(const std::vector<double>& values) {
  // From the smallest: nothing is lost beside the largest.
  return std::accumulate(values.rbegin(), values.rend(), 0.0, [](double sum, double x) { return sum + x * x; });
}

}  // namespace

int64_t CountAboveRounding(const std::vector<double>& values, int64_t rows, int64_t cols, double epsilon) {
  if (values.empty()) return 0;
  const double threshold = values.front() * static_cast<double>(std::max(rows, cols)) * epsilon;
  return std::count_if(values.begin(), values.end(), [threshold](double value) { return value > threshold; });
}

int64_t RankForEnergy(const std::vector<double>& values, double energy, int64_t rows, int64_t cols, double epsilon) {
  int64_t rank = CountAboveRounding(values, rows, cols, epsilon);
  double total = 0;
  for (int64_t i = rank - 1; i >= 0; --i) total += values[i] * values[i];
  double dropped = 0;
  while (rank > 0) {
    dropped += values[rank - 1] * values[rank - 1];
    if (dropped > (1 - energy) * total) break;
    --rank;
  }
  return rank;
}

absl::StatusOr<Triplets> ExactTriplets(runtime::Executor& executor, runtime::BufferPool& pool, double* a, int64_t n,
                                       int64_t m, const RankRule& rule) {
  Triplets result;
  if (n == 0 || m == 0) return result;
  const lapack::ColumnMajor tall = Tall(a, n, m);
  Svd svd;
  if (auto done = svd.Decompose(executor, pool, tall, Svd::Wanted::kVectors); !done.ok()) return done;
  result.values.assign(svd.values(), svd.values() + tall.cols);
  result.total_square = SumOfSquares(result.values);
  result.rank = rule.rank.has_value() ? *rule.rank : RankForEnergy(result.values, rule.energy, n, m, rule.epsilon);
  runtime::Buffer& of_rows = n > m ? result.left : result.right;
  runtime::Buffer& of_cols = n > m ? result.right : result.left;
  of_rows = pool.AllocateArray<double>(static_cast<size_t>(result.rank * tall.rows));
  of_cols = pool.AllocateArray<double>(static_cast<size_t>(result.rank * tall.cols));
  if (auto done = svd.Left(executor, pool, result.rank, of_rows.as<double>()); !done.ok()) return done;
  if (auto done = svd.Right(executor, pool, result.rank, of_cols.as<double>()); !done.ok()) return done;
  return result;
}

absl::StatusOr<std::vector<double>> SingularValues(runtime::Executor& executor, runtime::BufferPool& pool, double* a,
                                                   int64_t n, int64_t m) {
  if (n == 0 || m == 0) return std::vector<double>();
  const lapack::ColumnMajor tall = Tall(a, n, m);
  Svd svd;
  if (auto done = svd.Decompose(executor, pool, tall, Svd::Wanted::kValues); !done.ok()) return done;
  return std::vector<double>(svd.values(), svd.values() + tall.cols);
}

}  // namespace attend::compute
