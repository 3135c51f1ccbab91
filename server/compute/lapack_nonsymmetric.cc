// What lapack.h declares for nonsymmetric matrices; see lapack.cc on the declarations.
#include <cstddef>

#include "server/compute/lapack.h"
#include "server/compute/library_threads.h"

extern "C" {
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
}

namespace attend::compute::lapack {
namespace {

int Int(int64_t value) { return static_cast<int>(value); }

constexpr int64_t kSweepRows = 3;  // of the sweep's window, per shift

// What dlaqr3 wants beside its window and slabs, for the window's own reduction: blocks of at most 64 columns, and what
// dormhr keeps behind them.
int64_t WindowWork(int64_t window) { return window * 66 + 65 * 64; }

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
