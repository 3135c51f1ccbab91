// Orthonormal bases U and Z of block Krylov spaces of one matrix A [n, m], from a random start (blocks: Golub, Luk and
// Overton 1981; from a random start: Musco and Musco 2015). Every vector is made orthogonal to all before it, so that
//
//   A Z^T = U^T T,   A^T U^T = Z^T T^T + next^T coupling^T [0 ... 0 I]
//
// with U [size, n], Z [size, m] and next [block, m] orthonormal in rows and T [size, size] upper block triangular. T is
// measured; its singular values are at most A's. Where A's range is spent, random directions carry on, for which the
// equations hold as well: A Z^T is in the span of U already. All that to rounding as long as deviation() is rounding,
// which it may not be: whoever uses the basis looks.
//
// The random numbers follow from the shapes. Not thread-safe; distinct objects are independent. Errors are the
// executor's.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_KRYLOV_BASIS_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_KRYLOV_BASIS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/lapack.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class KrylovBasis {
 public:
  // `a` [n, m] row-major, of Frobenius norm `norm`, entries up to about 1, outlives this. REQUIRES: 1 <= block <= most
  // <= min(n, m).
  KrylovBasis(runtime::Executor& executor, runtime::BufferPool& pool, const double* a, int64_t n, int64_t m,
              double norm, int64_t block, int64_t most);

  absl::Status Start();
  // One block more: two products of A with `block` vectors. REQUIRES: Start; size() + block <= most.
  absl::Status Extend();

  int64_t size() const { return size_; }
  double flops() const { return flops_; }  // of all products and factorizations so far
  // max |U U^T - I|, |[Z; next] [Z; next]^T - I|, measured.
  double deviation() const { return deviation_; }
  const double* left() const { return left_.as<double>(); }    // U
  const double* right() const { return right_.as<double>(); }  // Z
  // T, column-major: entry (u, z).
  lapack::ColumnMajor projected() const { return {projected_.as<double>(), size_, size_, most_}; }
  // coupling^T [block, block]: row i is what A^T times vector i of U's last block has in `next`.
  Operand<double> coupling() const { return {coupling_.as<double>(), block_, block_, block_}; }

 private:
  absl::Status Multiply(const double* vectors, const Operand<double>& by, double* products);
  absl::Status Orthonormalize(const Matrix<double>& block, const double* basis, int64_t count);
  absl::Status RemoveShares(const Matrix<double>& block, const double* basis, int64_t count);
  void Replace(const Matrix<double>& block, int64_t begin);
  absl::Status MeasureDeviation(const Matrix<double>& block, const double* basis, int64_t count);
  uint64_t Seed() const;

  runtime::Executor& executor_;
  const Operand<double> a_;
  const double spent_;  // what A times a unit vector has by rounding alone
  const int64_t block_;
  const int64_t most_;
  int64_t size_ = 0;
  uint64_t replaced_ = 0;
  double deviation_ = 0;
  double flops_ = 0;
  const runtime::Buffer left_;       // [most, n]
  const runtime::Buffer right_;      // [most + block, m]: Z, then next
  const runtime::Buffer projected_;  // [most, most]
  const runtime::Buffer coupling_;   // [block, block]
  const runtime::Buffer product_;    // [block, max(n, m)]
  const runtime::Buffer shares_;     // [block, most + block], what a block has of a basis
  const runtime::Buffer work_;       // of the QR
  const runtime::Buffer pivots_;     // [block]
};

double KrylovWorkspaceBytes(int64_t n, int64_t m, int64_t block, int64_t most);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_KRYLOV_BASIS_H_
