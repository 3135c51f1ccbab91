// Debian's OpenBLAS holds LAPACK, but its packages hold no C header for it: the routines are declared here, with the
// lengths of their character arguments at the end, as gfortran passes them.
#include "server/compute/lapack.h"

#include <algorithm>
#include <cstddef>

#include "server/compute/library_threads.h"

extern "C" {
void dlabrd_(const int* m, const int* n, const int* nb, double* a, const int* lda, double* d, double* e, double* tauq,
             double* taup, double* x, const int* ldx, double* y, const int* ldy);
void dgebd2_(const int* m, const int* n, double* a, const int* lda, double* d, double* e, double* tauq, double* taup,
             double* work, int* info);
void dlasdq_(const char* uplo, const int* sqre, const int* n, const int* ncvt, const int* nru, const int* ncc,
             double* d, double* e, double* vt, const int* ldvt, double* u, const int* ldu, double* c, const int* ldc,
             double* work, int* info, size_t);
void dlasd4_(const int* n, const int* i, const double* d, const double* z, double* delta, const double* rho,
             double* sigma, double* work, int* info);
void dlatrd_(const char* uplo, const int* n, const int* nb, double* a, const int* lda, double* e, double* tau,
             double* w, const int* ldw, size_t);
void dsytd2_(const char* uplo, const int* n, double* a, const int* lda, double* d, double* e, double* tau, int* info,
             size_t);
void dsteqr_(const char* compz, const int* n, double* d, double* e, double* z, const int* ldz, double* work, int* info,
             size_t);
void dlaed4_(const int* n, const int* i, const double* d, const double* z, double* delta, const double* rho,
             double* dlam, int* info);
void dgemv_(const char* trans, const int* m, const int* n, const double* alpha, const double* a, const int* lda,
            const double* x, const int* incx, const double* beta, double* y, const int* incy, size_t);
void dormqr_(const char* side, const char* trans, const int* m, const int* n, const int* k, const double* a,
             const int* lda, const double* tau, double* c, const int* ldc, double* work, const int* lwork, int* info,
             size_t, size_t);
void dormlq_(const char* side, const char* trans, const int* m, const int* n, const int* k, const double* a,
             const int* lda, const double* tau, double* c, const int* ldc, double* work, const int* lwork, int* info,
             size_t, size_t);
void dgeqrf_(const int* m, const int* n, double* a, const int* lda, double* tau, double* work, const int* lwork,
             int* info);
void dorgqr_(const int* m, const int* n, const int* k, double* a, const int* lda, const double* tau, double* work,
             const int* lwork, int* info);
void dgeqp3_(const int* m, const int* n, double* a, const int* lda, int* jpvt, double* tau, double* work,
             const int* lwork, int* info);
}

namespace attend::compute::lapack {
namespace {

constexpr int64_t kBlock = 64;                   // the widest block that LAPACK's routines choose
constexpr int64_t kTriangularFactors = 65 * 64;  // what dormqr and dormlq keep behind their workspace

int Int(int64_t value) { return static_cast<int>(value); }

void ApplyQ(const char* transposed, const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work) {
  UseOneThread();
  const int m = Int(c.rows), n = Int(c.cols), k = Int(std::min(a.rows, a.cols)), lda = Int(a.ld), ldc = Int(c.ld);
  const int size = Int(ApplyWork(c.cols));
  int info = 0;
  dormqr_("L", transposed, &m, &n, &k, a.data, &lda, factors, c.data, &ldc, work, &size, &info, 1, 1);
}

}  // namespace

void ReducePanel(const ColumnMajor& a, int64_t panel, const Bidiagonal& to, double* x, double* y) {
  UseOneThread();
  const int m = Int(a.rows), n = Int(a.cols), nb = Int(panel), lda = Int(a.ld);
  dlabrd_(&m, &n, &nb, a.data, &lda, to.diagonal, to.superdiagonal, to.left_factors, to.right_factors, x, &m, y, &n);
}

void Reduce(const ColumnMajor& a, const Bidiagonal& to, double* work) {
  UseOneThread();
  const int m = Int(a.rows), n = Int(a.cols), lda = Int(a.ld);
  int info = 0;
  dgebd2_(&m, &n, a.data, &lda, to.diagonal, to.superdiagonal, to.left_factors, to.right_factors, work, &info);
}

bool BidiagonalQr(int64_t n, int64_t more, double* diagonal, double* beside, double* u, double* vt, double* work) {
  UseOneThread();
  const int size = Int(n), columns = Int(n + more), sqre = Int(more), none = 0, one = 1;
  double unused = 0;
  int info = 0;
  dlasdq_("U", &sqre, &size, &columns, &size, &none, diagonal, beside, vt, &columns, u, &size, &unused, &one, work,
          &info, 1);
  return info == 0;
}

bool BidiagonalValues(int64_t n, double* diagonal, double* beside, double* work) {
  UseOneThread();
  const int size = Int(n), none = 0, one = 1;
  double unused = 0;
  int info = 0;
  dlasdq_("U", &none, &size, &none, &none, &none, diagonal, beside, &unused, &one, &unused, &size, &unused, &one, work,
          &info, 1);
  return info == 0;
}

bool SingularSecularRoot(int64_t k, int64_t index, const double* poles, const double* z, double rho, double* gaps,
                         double* sums, double* root) {
  const int size = Int(k), which = Int(index + 1);
  int info = 0;
  dlasd4_(&size, &which, poles, z, gaps, &rho, root, sums, &info);
  return info == 0;
}

void ApplyLeftReflectors(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work) {
  ApplyQ("N", a, factors, c, work);
}

void ApplyLeftReflectorsTransposed(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work) {
  ApplyQ("T", a, factors, c, work);
}

void ApplyRightReflectors(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work) {
  if (a.cols < 2) return;
  UseOneThread();
  // The reflectors stand right of the diagonal: P leaves the first entry alone. dormlq applies them as rows of an LQ,
  // whose Q is the transpose of their product in order.
  const int m = Int(c.rows - 1), n = Int(c.cols), k = Int(a.cols - 1), lda = Int(a.ld), ldc = Int(c.ld);
  const int size = Int(ApplyWork(c.cols));
  int info = 0;
  dormlq_("L", "T", &m, &n, &k, a.at(0, 1), &lda, factors, c.at(1, 0), &ldc, work, &size, &info, 1, 1);
}

int64_t ApplyWork(int64_t k) { return k * kBlock + kTriangularFactors; }

void Qr(const ColumnMajor& a, double* factors, double* work) {
  UseOneThread();
  const int m = Int(a.rows), n = Int(a.cols), lda = Int(a.ld), size = Int(QrWork(a.cols));
  int info = 0;
  dgeqrf_(&m, &n, a.data, &lda, factors, work, &size, &info);
}

void FormQ(const ColumnMajor& a, const double* factors, double* work) {
  UseOneThread();
  const int m = Int(a.rows), n = Int(a.cols), lda = Int(a.ld), size = Int(QrWork(a.cols));
  int info = 0;
  dorgqr_(&m, &n, &n, a.data, &lda, factors, work, &size, &info);
}

int64_t QrWork(int64_t cols) { return cols * kBlock; }

void ReduceSymmetricPanel(const ColumnMajor& a, int64_t panel, const Tridiagonal& to, double* w) {
  UseOneThread();
  const int n = Int(a.rows), nb = Int(panel), lda = Int(a.ld);
  dlatrd_("L", &n, &nb, a.data, &lda, to.subdiagonal, to.factors, w, &n, 1);
}

void ReduceSymmetric(const ColumnMajor& a, const Tridiagonal& to) {
  UseOneThread();
  const int n = Int(a.rows), lda = Int(a.ld);
  int info = 0;
  dsytd2_("L", &n, a.data, &lda, to.diagonal, to.subdiagonal, to.factors, &info, 1);
}

bool TridiagonalQr(int64_t n, double* diagonal, double* subdiagonal, double* vectors, int64_t ld, double* work) {
  UseOneThread();
  const int size = Int(n), stride = Int(ld);
  int info = 0;
  dsteqr_("I", &size, diagonal, subdiagonal, vectors, &stride, work, &info, 1);
  return info == 0;
}

bool SecularRoot(int64_t k, int64_t index, const double* poles, const double* z, double rho, double* gaps,
                 double* root) {
  const int size = Int(k), which = Int(index + 1);
  int info = 0;
  dlaed4_(&size, &which, poles, z, gaps, &rho, root, &info);
  return info == 0;
}

void TimesTransposed(double factor, const ColumnMajor& a, const double* x, double* y) {
  UseOneThread();
  const int m = Int(a.rows), n = Int(a.cols), lda = Int(a.ld), one = 1;
  const double none = 0;
  dgemv_("T", &m, &n, &factor, a.data, &lda, x, &one, &none, y, &one, 1);
}

void PivotedQr(const ColumnMajor& a, int* pivots, double* factors, double* work) {
  UseOneThread();
  std::fill_n(pivots, a.cols, 0);
  const int m = Int(a.rows), n = Int(a.cols), lda = Int(a.ld), size = Int(PivotedQrWork(a.cols));
  int info = 0;
  dgeqp3_(&m, &n, a.data, &lda, pivots, factors, work, &size, &info);
}

int64_t PivotedQrWork(int64_t cols) { return 2 * cols + (cols + 1) * kBlock; }

}  // namespace attend::compute::lapack
