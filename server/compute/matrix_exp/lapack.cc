#include "server/compute/matrix_exp/lapack.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

// Fortran passes the lengths of its strings behind the other arguments.
extern "C" {
void openblas_set_num_threads(int threads);
void dsytrd_(const char* uplo, const int* n, double* a, const int* lda, double* d, double* e, double* tau, double* work,
             const int* lwork, int* info, size_t uplo_length);
void dstedc_(const char* compz, const int* n, double* d, double* e, double* z, const int* ldz, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info, size_t compz_length);
void dormtr_(const char* side, const char* uplo, const char* trans, const int* m, const int* n, const double* a,
             const int* lda, const double* tau, double* c, const int* ldc, double* work, const int* lwork, int* info,
             size_t side_length, size_t uplo_length, size_t trans_length);
void dgehrd_(const int* n, const int* ilo, const int* ihi, double* a, const int* lda, double* tau, double* work,
             const int* lwork, int* info);
void dorghr_(const int* n, const int* ilo, const int* ihi, double* a, const int* lda, const double* tau, double* work,
             const int* lwork, int* info);
void dbdsdc_(const char* uplo, const char* compq, const int* n, double* d, double* e, double* u, const int* ldu,
             double* vt, const int* ldvt, double* q, int* iq, double* work, int* iwork, int* info, size_t uplo_length,
             size_t compq_length);
}

namespace attend::compute {
namespace {

// Columns that the blocked reductions handle at once.
constexpr int kBlock = 64;

absl::Status CheckSize(int64_t n) {
  if (n <= 32768) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a decomposition of ", n, " rows: at most 32768 are possible"));
}

absl::Status Converged(int info, const char* what) {
  if (info == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " failed with info = ", info));
}

// As in gemm_f64.cc: work is split over threads of our own.
void UseOneThread() {
  static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace

absl::Status SymmetricEigen(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                            double* values, double* vectors) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  UseOneThread();
  const int size = static_cast<int>(n);
  const runtime::Buffer off_diagonal = pool.AllocateArray<double>(static_cast<size_t>(2 * n));
  double* tau = off_diagonal.as<double>() + n;
  // Of dstedc: 1 + 4 n + n^2 numbers and 3 + 5 n integers; the blocked reductions take less.
  const int work_size = static_cast<int>(std::max<int64_t>(n * n + 4 * n + 1, n * kBlock));
  const int integers_size = 3 + 5 * size;
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(work_size));
  const runtime::Buffer integers = pool.AllocateArray<int>(static_cast<size_t>(integers_size));
  int info = 0;
  dsytrd_("L", &size, a, &size, values, off_diagonal.as<double>(), tau, work.as<double>(), &work_size, &info, 1);
  if (absl::Status wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
  dstedc_("I", &size, values, off_diagonal.as<double>(), vectors, &size, work.as<double>(), &work_size,
          integers.as<int>(), &integers_size, &info, 1);
  if (absl::Status converged = Converged(info, "dstedc"); !converged.ok()) return converged;
  if (absl::Status wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
  dormtr_("L", "L", "N", &size, &size, a, &size, tau, vectors, &size, work.as<double>(), &work_size, &info, 1, 1, 1);
  return executor.cancellation().Check();
}

absl::Status SkewTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* a,
                             double* subdiagonal) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  UseOneThread();
  const int size = static_cast<int>(n);
  const int one = 1;
  const int work_size = size * kBlock + 4096 + 256;
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(work_size));
  const runtime::Buffer tau = pool.AllocateArray<double>(static_cast<size_t>(n));
  int info = 0;
  // Read column by column, a is its transpose, -a; its Hessenberg form is tridiagonal.
  dgehrd_(&size, &one, &size, a, &size, tau.as<double>(), work.as<double>(), &work_size, &info);
  for (int64_t i = 0; i + 1 < n; ++i) subdiagonal[i] = -a[i * n + i + 1];
  if (absl::Status wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
  dorghr_(&size, &one, &size, a, &size, tau.as<double>(), work.as<double>(), &work_size, &info);
  return executor.cancellation().Check();
}

absl::Status BidiagonalSvd(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, double* values,
                           double* subdiagonal, double* ut, double* v) {
  if (absl::Status fits = CheckSize(n); !fits.ok()) return fits;
  UseOneThread();
  const int size = static_cast<int>(n);
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(3 * n * n + 4 * n));
  const runtime::Buffer integers = pool.AllocateArray<int>(static_cast<size_t>(8 * n));
  double unused = 0;
  int unused_integer = 0;
  int info = 0;
  // LAPACK writes u and v^T column by column: read row by row they are u^T and v.
  dbdsdc_("L", "I", &size, values, subdiagonal, ut, &size, v, &size, &unused, &unused_integer, work.as<double>(),
          integers.as<int>(), &info, 1, 1);
  if (absl::Status converged = Converged(info, "dbdsdc"); !converged.ok()) return converged;
  return executor.cancellation().Check();
}

double LapackWorkspaceBytes(int64_t n) {
  const auto size = static_cast<double>(n);
  return 8 * (size * size + (kBlock + 16) * size + 8192);
}

}  // namespace attend::compute
