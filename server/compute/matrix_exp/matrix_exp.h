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

enum class MatrixStructure { kGeneral, kGenerator, kSkewSymmetric, kSymmetric, kTriangular, kDiagonal };

template <typename T>
struct MatrixExpProblem {
  int64_t batch = 0;                         // matrices
  int64_t n = 0;                             // >= 0
  const T* a = nullptr;                      // [batch, n, n], all finite
  std::vector<double> times;                 // may be empty; all finite
  std::optional<MatrixStructure> structure;  // nullopt: detected per matrix

  // The action exp(t A) B in place of exp(t A). B [batch, n, p], or [n, p] where all matrices share it; all finite.
  const T* apply_to = nullptr;
  int64_t p = 0;
  bool apply_to_is_shared = false;

  // Of result's shape, all finite: asks for gradients.
  const T* grad_output = nullptr;

  bool acts() const { return apply_to != nullptr; }
  int64_t result_cols() const { return acts() ? p : n; }
};

// What was done to one matrix at one time, and how good it is. Measured, not assumed. What was spent counts for the
// time that it was first needed for; a time asked for a second time is copied and spends nothing.
struct MatrixExpReport {
  MatrixStructure structure = MatrixStructure::kGeneral;
  double norm1 = 0;                // of t A
  uint32_t degree = 0;             // of the polynomial; 0 where there is none
  uint32_t squarings = 0;          // spent; with action_products: the steps taken from the time before to t
  uint32_t products = 0;           // n x n matrix products spent
  uint32_t action_products = 0;    // products of A with [n, p] spent: > 0 only where exp(t A) B came without exp(t A)
  double error_bound = 0;          // of the relative error in the 1-norm, from what was measured
  double row_sum_error = 0;        // max |row sum - 1|, for generators' exp
  double min_entry = 0;            // for generators' exp
  double orthogonality_error = 0;  // max |R^T R - I|, for skew-symmetric matrices' exp
};

template <typename T>
struct MatrixExpResult {
  T* result = nullptr;                   // [times, batch, n, n] or [times, batch, n, p]
  T* grad_a = nullptr;                   // [batch, n, n], with grad_output
  T* grad_apply_to = nullptr;            // of apply_to's shape, with grad_output
  std::vector<MatrixExpReport> reports;  // [times * batch], in the order of result; filled by MatrixExp
  double other_flops = 0;                // that no report counts: of decompositions and gradients; filled by MatrixExp
};

// exp(t A), or exp(t A) B by whichever way takes fewer operations: forming exp(t A) or never forming it; and, with
// grad_output G, the gradients summed over times: of A, all of its n x n entries taken as free (whatever structure A
// has), t L(t A^T, G) or t L(t A^T, G B^T) with L the Frechet derivative; of B, exp(t A^T) G.
// Structures are detected in the order diagonal, generator (for t >= 0), triangular, symmetric, skew-symmetric.
//
// Returns INVALID_ARGUMENT where the named structure does not hold (the message says which matrix, entry and value),
// OUT_OF_RANGE where a result or gradient overflows T (the message says at which norm), and the executor's CANCELLED /
// DEADLINE_EXCEEDED. Results are then unspecified.
absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<float>& problem,
                       MatrixExpResult<float>& result);
absl::Status MatrixExp(runtime::Executor& executor, runtime::BufferPool& pool, const MatrixExpProblem<double>& problem,
                       MatrixExpResult<double>& result);

// Floating-point operations spent, from the reports of results with `cols` columns.
double MatrixExpFlops(int64_t n, int64_t cols, const std::vector<MatrixExpReport>& reports);

// Upper bound, in bytes, of the working memory beyond input and result. Saturates instead of overflowing.
template <typename T>
double MatrixExpWorkspaceBytes(const MatrixExpProblem<T>& problem, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_MATRIX_EXP_H_
