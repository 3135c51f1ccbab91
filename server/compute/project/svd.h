// The singular value decomposition of a matrix in double: A = W diag(s) Z^T, by reduction to bidiagonal form and divide
// and conquer (Gu and Eisenstat 1995, bidiagonal_svd.h). A tall matrix is reduced to its triangular factor first (Chan
// 1982). Vectors are made for the leading values that are asked for, not for all.
//
// Not thread-safe; distinct objects are independent. Cancellation is polled between panels and tiles; the values alone
// of the bidiagonal matrix are one stretch (some 13 n^2 ns: 0.2 s at n = 4096).
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_SVD_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_SVD_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class Svd {
 public:
  enum class Wanted { kValues, kVectors };

  // REQUIRES: a.rows >= a.cols >= 1, entries finite, the largest of a magnitude between 1e-100 and 1e100 (or all 0).
  // a's memory becomes this object's working memory. INTERNAL where divide and conquer does not converge, and the
  // executor's errors.
  absl::Status Decompose(runtime::Executor& executor, runtime::BufferPool& pool, const lapack::ColumnMajor& a,
                         Wanted wanted);

  // Largest first, [a.cols].
  const double* values() const { return values_.as<double>(); }

  // The vectors of the k largest: column-major w [a.rows, k], z [a.cols, k]. REQUIRES: Decompose with kVectors.
  absl::Status Left(runtime::Executor& executor, runtime::BufferPool& pool, int64_t k, double* w) const;
  absl::Status Right(runtime::Executor& executor, runtime::BufferPool& pool, int64_t k, double* z) const;

 private:
  bool tall() const { return triangular_.size() > 0; }
  absl::Status Diagonalize(runtime::Executor& executor, runtime::BufferPool& pool, Wanted wanted);

  lapack::ColumnMajor a_;        // the caller's: reflectors, of the triangular factor's reduction where tall
  runtime::Buffer triangular_;   // [cols, cols], where tall
  lapack::ColumnMajor reduced_;  // what became bidiagonal: a_ or triangular_
  runtime::Buffer values_;       // [cols]
  runtime::Buffer factors_;      // left, right, and the triangular factor's: [3, cols]
  runtime::Buffer u_, vt_;       // of the bidiagonal, vectors in rows: [cols, cols]
};

// Of one Decompose with its vectors, beside `a` and results; bytes.
double SvdWorkspaceBytes(int64_t rows, int64_t cols, int workers);
double SvdFlops(int64_t rows, int64_t cols, int64_t vectors);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_SVD_H_
