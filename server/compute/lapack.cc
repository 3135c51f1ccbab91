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
void dgebal_(const char* job, const int* n, double* a, const int* lda, int* ilo, int* ihi, double* scale, int* info,
             size_t);
void dgebak_(const char* job, const char* side, const int* n, const int* ilo, const int* ihi, const double* scale,
             const int* m, double* v, const int* ldv, int* info, size_t, size_t);
void dlahr2_(const int* n, const int* k, const int* nb, double* a, const int* lda, double* tau, double* t,
             const int* ldt, double* y, const int* ldy);
void dtrmm_(const char* side, const char* uplo, const char* trans, const char* diag, const int* m, const int* n,
            const double* alpha, const double* a, const int* lda, double* b, const int* ldb, size_t, size_t, size_t,
            size_t);
void dlarfb_(const char* side, const char* trans, const char* direct, const char* storev, const int* m, const int* n,
             const int* k, const double* v, const int* ldv, const double* t, const int* ldt, double* c, const int* ldc,
             double* work, const int* ldwork, size_t, size_t, size_t, size_t);
void dgehd2_(const int* n, const int* ilo, const int* ihi, double* a, const int* lda, double* tau, double* work,
             int* info);
void dlahqr_(const int* wantt, const int* wantz, const int* n, const int* ilo, const int* ihi, double* h,
             const int* ldh, double* wr, double* wi, const int* iloz, const int* ihiz, double* z, const int* ldz,
             int* info);
void dlaqr3_(const int* wantt, const int* wantz, const int* n, const int* ktop, const int* kbot, const int* nw,
             double* h, const int* ldh, const int* iloz, const int* ihiz, double* z, const int* ldz, int* ns, int* nd,
             double* sr, double* si, double* v, const int* ldv, const int* nh, double* t, const int* ldt, const int* nv,
             double* wv, const int* ldwv, double* work, const int* lwork);
void dlaqr5_(const int* wantt, const int* wantz, const int* kacc22, const int* n, const int* ktop, const int* kbot,
             const int* nshfts, double* sr, double* si, double* h, const int* ldh, const int* iloz, const int* ihiz,
             double* z, const int* ldz, double* v, const int* ldv, double* u, const int* ldu, const int* nv, double* wv,
             const int* ldwv, const int* nh, double* wh, const int* ldwh);
void dlanv2_(double* a, double* b, double* c, double* d, double* rt1r, double* rt1i, double* rt2r, double* rt2i,
             double* cs, double* sn);
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

constexpr int64_t kSweepRows = 3;  // of the sweep's window, per shift

// What dlaqr3 wants beside its window and slabs: for the window's own reduction, from both sides.
int64_t WindowWork(int64_t window) { return window * (kBlock + 2) + kTriangularFactors; }

// The arguments that the routines on Hessenberg matrices share, as they count: from 1.
struct HessenbergArguments {
  HessenbergArguments(const HessenbergQr& qr, const ActiveRange& range)
      : wanted(qr.z.data != nullptr),
        n(Int(qr.h.cols)),
        ilo(Int(range.begin + 1)),
        ihi(Int(range.end)),
        ldh(Int(qr.h.ld)),
        z(wanted != 0 ? qr.z.data : &unused),
        ldz(wanted != 0 ? Int(qr.z.ld) : 1) {}

  const int one = 1;
  double unused = 0;
  int wanted, n, ilo, ihi, ldh;
  double* z;
  int ldz;
};

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

ActiveRange Balance(Balancing balancing, const ColumnMajor& a, double* permutation) {
  UseOneThread();
  const int n = Int(a.cols), lda = Int(a.ld);
  int ilo = 0, ihi = 0, info = 0;
  dgebal_(balancing == Balancing::kScaled ? "B" : "P", &n, a.data, &lda, &ilo, &ihi, permutation, &info, 1);
  return {ilo - 1, ihi};
}

void Unbalance(const ActiveRange& range, const double* permutation, const ColumnMajor& z) {
  UseOneThread();
  const int n = Int(z.rows), m = Int(z.cols), ld = Int(z.ld), ilo = Int(range.begin + 1), ihi = Int(range.end);
  int info = 0;
  dgebak_("P", "R", &n, &ilo, &ihi, permutation, &m, z.data, &ld, &info, 1, 1);
}

void ReduceHessenbergPanel(const ColumnMajor& a, const ActiveRange& range, int64_t panel, double* factors, double* t,
                           double* y) {
  UseOneThread();
  const int n = Int(range.end), k = Int(range.begin + 1), nb = Int(panel), lda = Int(a.ld);
  dlahr2_(&n, &k, &nb, a.at(0, range.begin), &lda, factors, t, &nb, y, &n);
}

void TimesUnitLowerTransposed(const ColumnMajor& v, const ColumnMajor& y) {
  UseOneThread();
  const int m = Int(y.rows), n = Int(y.cols), ldv = Int(v.ld), ldy = Int(y.ld);
  const double one = 1;
  dtrmm_("R", "L", "T", "U", &m, &n, &one, v.data, &ldv, y.data, &ldy, 1, 1, 1, 1);
}

void ApplyBlockReflectorTransposed(const ColumnMajor& v, const double* t, const ColumnMajor& c, double* work) {
  UseOneThread();
  const int m = Int(c.rows), n = Int(c.cols), k = Int(v.cols), ldv = Int(v.ld), ldc = Int(c.ld);
  dlarfb_("L", "T", "F", "C", &m, &n, &k, v.data, &ldv, t, &k, c.data, &ldc, work, &n, 1, 1, 1, 1);
}

void ReduceHessenberg(const ColumnMajor& a, const ActiveRange& range, double* factors, double* work) {
  UseOneThread();
  const int n = Int(a.cols), ilo = Int(range.begin + 1), ihi = Int(range.end), lda = Int(a.ld);
  int info = 0;
  dgehd2_(&n, &ilo, &ihi, a.data, &lda, factors, work, &info);
}

bool SmallSchur(const HessenbergQr& qr, const ActiveRange& range) {
  UseOneThread();
  const HessenbergArguments at(qr, range);
  int info = 0;
  dlahqr_(&at.wanted, &at.wanted, &at.n, &at.ilo, &at.ihi, qr.h.data, &at.ldh, qr.real, qr.imaginary, &at.one, &at.n,
          at.z, &at.ldz, &info);
  return info == 0;
}

Deflation DeflateEarly(const HessenbergQr& qr, const ActiveRange& range, int64_t window, double* work) {
  UseOneThread();
  const HessenbergArguments at(qr, range);
  const int nw = Int(window), size = Int(WindowWork(window));
  double* const v = work;
  double* const t = v + window * window;
  double* const wv = t + window * qr.h.cols;
  double* const rest = wv + qr.h.cols * window;
  int shifts = 0, deflated = 0;
  dlaqr3_(&at.wanted, &at.wanted, &at.n, &at.ilo, &at.ihi, &nw, qr.h.data, &at.ldh, &at.one, &at.n, at.z, &at.ldz,
          &shifts, &deflated, qr.real, qr.imaginary, v, &nw, &at.n, t, &nw, &at.n, wv, &at.n, rest, &size);
  return {deflated, shifts};
}

int64_t DeflationWork(int64_t n, int64_t window) { return window * window + 2 * window * n + WindowWork(window); }

void Sweep(const HessenbergQr& qr, const ActiveRange& range, int64_t at_shift, int64_t shifts, double* work) {
  UseOneThread();
  const HessenbergArguments at(qr, range);
  const int count = Int(shifts), accumulate = 1, three = 3, ldu = Int(kSweepRows * shifts);
  double* const v = work;
  double* const u = v + three * shifts;
  double* const wv = u + ldu * ldu;
  double* const wh = wv + at.n * ldu;
  dlaqr5_(&at.wanted, &at.wanted, &accumulate, &at.n, &at.ilo, &at.ihi, &count, qr.real + at_shift,
          qr.imaginary + at_shift, qr.h.data, &at.ldh, &at.one, &at.n, at.z, &at.ldz, v, &three, u, &ldu, &at.n, wv,
          &at.n, &at.n, wh, &ldu);
}

int64_t SweepWork(int64_t n, int64_t shifts) {
  const int64_t rows = kSweepRows * shifts;
  return 3 * shifts + rows * rows + 2 * n * rows;
}

void EigenvaluesOfTwo(double a, double b, double c, double d, double* real, double* imaginary) {
  double cosine = 0, sine = 0;
  dlanv2_(&a, &b, &c, &d, &real[0], &imaginary[0], &real[1], &imaginary[1], &cosine, &sine);
}

}  // namespace attend::compute::lapack
