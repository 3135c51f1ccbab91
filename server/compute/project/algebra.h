// Projections of square matrices onto matrix Lie algebras and the cone of generators. Thread-safe. T is float or
// double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// All but kZeroRowSumDiagonal are nearest in the Frobenius norm.
enum class AlgebraTarget {
  kGenerator,           // off-diagonal >= 0, rows sum to 0: see generator_row.h
  kZeroRowSum,          // M - (row means): see zero_mean.h
  kZeroRowSumDiagonal,  // the diagonal becomes the negative sum of the rest of its row
  kSkewSymmetric,       // (M - M^T) / 2
  kSymmetric,           // (M + M^T) / 2
  kTraceless,           // M - (trace / n) I
};

template <typename T>
struct AlgebraProblem {
  AlgebraTarget target = AlgebraTarget::kGenerator;
  int64_t batch = 0;
  int64_t n = 0;
  const T* m = nullptr;  // [batch, n, n], finite
};

struct AlgebraReport {
  // ||output - M|| in the Frobenius norm, of the output as rounded to T; infinity where that exceeds double's range, as
  // it may at entries beyond 2^1023 / n though the output does not
  double distance = 0;
  double residual = 0;  // |trace| (kTraceless); the largest |row sum| (zero row sums, generators); 0 for the others
};

// output [batch, n, n], not overlapping m. Projecting the output again gives the same bits.
//   rows (kGenerator, kZeroRowSum*) sum to 0 to within half a unit in the last place of their largest entry, and so
//   does the diagonal of kTraceless; symmetry holds to the bit.
// Sums are taken in double with compensation, for float too. Memory beyond output: a few rows per worker, and 16 bytes
// per row. Returns OUT_OF_RANGE, with the entry, where a result overflows, and the executor's errors.
template <typename T>
absl::Status AlgebraProjection(runtime::Executor& executor, runtime::BufferPool& pool, const AlgebraProblem<T>& problem,
                               T* output, std::vector<AlgebraReport>& reports);
template <typename T>
double AlgebraFlops(const AlgebraProblem<T>& problem);
template <typename T>
double AlgebraWorkspaceBytes(const AlgebraProblem<T>& problem, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_ALGEBRA_H_
