#include "server/compute/matrix_exp/decompositions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/compute/bidiagonal_svd.h"
#include "server/compute/lapack.h"
#include "server/compute/matrix_exp/skew_tridiagonal.h"
#include "server/compute/matrix_exp/tridiagonal.h"
#include "server/compute/tridiagonal_eigen.h"

namespace attend::compute {
namespace {

absl::Status CheckSize(int64_t n) {
  if (n <= 32768) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a decomposition of ", n, " rows: at most 32768 are possible"));
}

runtime::Buffer Doubles(runtime::BufferPool& pool, int64_t count) {
  return pool.AllocateArray<double>(static_cast<size_t>(count));
}

}  // namespace

absl::Status SymmetricEigen(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                            double* values, double* vectors) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  const runtime::Buffer beside = Doubles(pool, 2 * n);
  const lapack::Tridiagonal to{values, beside.as<double>(), beside.as<double>() + n};
  const lapack::ColumnMajor matrix{a, n, n, n};
  if (auto done = ReduceToTridiagonal(executor, pool, matrix, to); !done.ok()) return done;
  if (auto done = TridiagonalEigen(executor, pool, n, values, to.subdiagonal, vectors); !done.ok()) return done;
  return ApplyTridiagonalReflectors(executor, pool, matrix, to.factors, {vectors, n, n, n});
}

absl::Status SkewTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                             double* subdiagonal) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  const runtime::Buffer factors = Doubles(pool, n);
  // Read column by column, a is its transpose, -a.
  const lapack::ColumnMajor matrix{a, n, n, n};
  if (auto done = ReduceSkewToTridiagonal(executor, pool, matrix, factors.as<double>()); !done.ok()) return done;
  for (int64_t i = 0; i + 1 < n; ++i) subdiagonal[i] = -*matrix.at(i + 1, i);
  const runtime::Buffer memory = Doubles(pool, n * n);
  double* const q = memory.as<double>();
  std::fill_n(q, n * n, 0.0);
  for (int64_t i = 0; i < n; ++i) q[i * n + i] = 1;
  const auto done = ApplyTridiagonalReflectors(executor, pool, matrix, factors.as<double>(), {q, n, n, n});
  std::copy_n(q, n * n, a);
  return done;
}

absl::Status LowerBidiagonalSvd(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* values,
                                double* subdiagonal, double* ut, double* vt) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  return BidiagonalSvd(executor, pool, n, values, subdiagonal, vt, ut);  // of the transpose, which is upper
}

double DecompositionBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  const double skew = 8 * size * size + std::max(TridiagonalBytes(n), SkewTridiagonalBytes(n));
  return 16 * size + std::max({TridiagonalEigenBytes(n), TridiagonalBytes(n), skew, BidiagonalSvdBytes((n + 1) / 2)});
}

}  // namespace attend::compute
