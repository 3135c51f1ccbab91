// The best approximation of a given rank, or of the smallest rank that keeps a share of the squared singular values:
// A ~ U diag(s) V^T. Thread-safe. T is float or double; computed in double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_LOW_RANK_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_LOW_RANK_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/tensor.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
struct LowRankProblem {
  int64_t batch = 0;
  int64_t n = 0;
  int64_t m = 0;
  const T* a = nullptr;         // [batch, n, m], finite
  std::optional<int64_t> rank;  // in [0, min(n, m)], or
  double energy = 1;            // in (0, 1]: r is the largest rank that any matrix of the batch needs for it
  // At least 1: by rank, how many times the best distance is near enough for the randomized method; 1: exact only.
  double most_over_best = 1 + 1e-4;
  // What the results are rounded to, and measured as, in memory of T: T, or for float BFLOAT16 or FLOAT16.
  DType answered = DTypeOf<T>();
};

struct LowRankReport {
  double distance = 0;  // ||A - U diag(s) V^T||, measured on the rounded results; infinity where they or it overflow
  int64_t numerical_rank = 0;  // see numerical_rank.h
  bool rank_is_least = false;  // it is at least that: the sketch did not see all singular values
  double energy = 0;           // kept share of the squared singular values; 1 for a zero matrix
  bool randomized = false;     // see triplets.h
  // distance is at most so many times the best possible (of any numbers, rounded or not), or 2^-46 ||A|| where that is
  // more; 1 where it is within 2^-46 ||A|| of the best. Above most_over_best only by what the rounding adds.
  double distance_over_best = 1;
  double residual = 0;  // of the randomized, see triplets.h: so near to each s_i is a singular value
};

struct LowRankResult {
  Tensor u;                // [batch, n, r], orthonormal columns, the entry of largest magnitude of each positive (the
                           // first of equal ones)
  Tensor singular_values;  // [batch, r], largest first
  Tensor vt;               // [batch, r, m], orthonormal rows
  std::vector<LowRankReport> reports;
  double flops = 0;  // of what was done: of the method that each matrix took, and of one that was tried before
};

// Exact (svd.h), or from a Krylov space where WorthRandomizing and it comes near enough to the best distance
// (triplets.h). Returns OUT_OF_RANGE where a singular value overflows T, and the executor's errors.
template <typename T>
absl::Status LowRankProjection(runtime::Executor& executor, runtime::BufferPool& pool, const LowRankProblem<T>& problem,
                               LowRankResult& result);
// Of the exact decomposition: what to expect at most, or nearly so.
template <typename T>
double LowRankFlops(const LowRankProblem<T>& problem);
// Beside A and the results.
template <typename T>
double LowRankWorkspaceBytes(const LowRankProblem<T>& problem, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_LOW_RANK_H_
