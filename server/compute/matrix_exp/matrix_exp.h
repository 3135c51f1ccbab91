// exp(t A) for batches of matrices and several times. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_EXP_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_EXP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

enum class MatrixStructure { kGeneral, kGenerator };

template <typename T>
struct MatrixExpProblem {
  int64_t batch = 0;                         // matrices
  int64_t n = 0;                             // >= 0
  const T* a = nullptr;                      // [batch, n, n], all finite
  std::vector<double> times;                 // at least one, all finite
  std::optional<MatrixStructure> structure;  // nullopt: detected per matrix
};

// What was done to one matrix at one time, and how good it is. Measured, not assumed.
struct MatrixExpReport {
  MatrixStructure structure = MatrixStructure::kGeneral;
  double norm1 = 0;  // of t A
  uint32_t degree = 0;
  uint32_t squarings = 0;
  uint32_t products = 0;     // n x n matrix products spent
  double error_bound = 0;    // of the relative error in the 1-norm, from what was measured (squaring_error.h)
  double row_sum_error = 0;  // max |row sum - 1|, for generators
  double min_entry = 0;      // for generators
};

template <typename T>
struct MatrixExpResult {
  T* result = nullptr;                   // [times, batch, n, n]
  std::vector<MatrixExpReport> reports;  // [times * batch], in the order of result; filled by MatrixExp
};

// Returns INVALID_ARGUMENT where the named structure does not hold (the message says which matrix, entry and value),
// OUT_OF_RANGE where a result overflows T (the message says at which norm), and the executor's CANCELLED /
// DEADLINE_EXCEEDED. Results are then unspecified.
absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<float>& problem,
                       MatrixExpResult<float>& result);
absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<double>& problem,
                       MatrixExpResult<double>& result);

// Floating-point operations spent, from the reports.
double MatrixExpFlops(int64_t n, const std::vector<MatrixExpReport>& reports);

// Upper bound, in bytes, of the working memory beyond input and result. Saturates instead of overflowing.
template <typename T>
double MatrixExpWorkspaceBytes(const MatrixExpProblem<T>& problem, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_EXP_H_
