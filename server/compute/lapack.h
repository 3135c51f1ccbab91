// The LAPACK routines of OpenBLAS that we use, in double, with workspaces in the caller's memory. Matrices are
// COLUMN-major, as LAPACK has them: entry (i, j) at data[i + j * ld]. Thread-safe; each call runs on the calling
// thread. REQUIRES: dimensions of at least 1 that fit in int; finite entries.
#ifndef ATTEND_SERVER_COMPUTE_LAPACK_H_
#define ATTEND_SERVER_COMPUTE_LAPACK_H_

#include <cstdint>

namespace attend::compute::lapack {

struct ColumnMajor {
  double* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t ld = 0;

  double* at(int64_t row, int64_t col) const { return data + row + col * ld; }
  ColumnMajor Block(int64_t row, int64_t col, int64_t block_rows, int64_t block_cols) const {
    return {at(row, col), block_rows, block_cols, ld};
  }
};

// What one reduction to bidiagonal form keeps beside the matrix: the bidiagonal and the factors of the reflectors.
struct Bidiagonal {
  double* diagonal = nullptr;       // [cols]
  double* superdiagonal = nullptr;  // [cols], the last unused
  double* left_factors = nullptr;   // [cols]
  double* right_factors = nullptr;  // [cols]
};

inline constexpr int64_t kPanel = 32;

// The first `panel` rows and columns of a (rows >= cols) to bidiagonal form, with x [rows, panel], y [cols, panel] such
// that the rest of a is then still to become a - V y^T - x U^T (dlabrd).
void ReducePanel(const ColumnMajor& a, int64_t panel, const Bidiagonal& to, double* x, double* y);
// All of a (rows >= cols), without blocks (dgebd2). work: [rows + cols].
void Reduce(const ColumnMajor& a, const Bidiagonal& to, double* work);

// The singular values of an upper bidiagonal matrix [n, n + more], more 0 or 1, into `diagonal`; destroys `beside`,
// what stands above the diagonal [n - 1 + more]. Column i of u [n, n], row i of vt [n + more, n + more], both
// contiguous and given as identities, become the vectors of diagonal[i]. work: 4 (n + more). (dlasdq) False where it
// does not converge.
bool BidiagonalQr(int64_t n, int64_t more, double* diagonal, double* beside, double* u, double* vt, double* work);
// The values alone, of a matrix [n, n]: some n^2 operations. work: 4 n. (dlasdq)
bool BidiagonalValues(int64_t n, double* diagonal, double* beside, double* work);

// The square root of the index-th eigenvalue, from below, of diag(poles^2) + rho z z^T: poles [k] ascending from 0, rho
// > 0, |z| = 1. gaps [k] = poles - root and sums [k] = poles + root, each as accurate as it can be. (dlasd4) False
// where it does not converge.
bool SingularSecularRoot(int64_t k, int64_t index, const double* poles, const double* z, double rho, double* gaps,
                         double* sums, double* root);

// c = Q c or P c, from the reflectors that ReducePanel and Reduce left in a (dormqr, dormlq). c is [a.rows, k] for Q,
// [a.cols, k] for P. work: ApplyWork(k).
void ApplyLeftReflectors(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work);
void ApplyRightReflectors(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work);
// c = Q^T c.
void ApplyLeftReflectorsTransposed(const ColumnMajor& a, const double* factors, const ColumnMajor& c, double* work);
int64_t ApplyWork(int64_t k);

// a = Q R: R on and above the diagonal, reflectors below. factors: [min(rows, cols)]; work: QrWork(cols). (dgeqrf)
void Qr(const ColumnMajor& a, double* factors, double* work);
// a = Q of the reflectors, [rows, cols] (dorgqr).
void FormQ(const ColumnMajor& a, const double* factors, double* work);
int64_t QrWork(int64_t cols);

// What one reduction of a symmetric matrix to tridiagonal form keeps beside it.
struct Tridiagonal {
  double* diagonal = nullptr;     // [n]
  double* subdiagonal = nullptr;  // [n], the last unused
  double* factors = nullptr;      // [n]
};

// The first `panel` columns of a [n, n], of which only the lower triangle counts, to tridiagonal form, with w [n,
// panel] such that the rest of a is then still to become a - V w^T - w V^T. The reflectors V below the diagonal have
// their ones in place of the subdiagonal. (dlatrd)
void ReduceSymmetricPanel(const ColumnMajor& a, int64_t panel, const Tridiagonal& to, double* w);
// All of a, without blocks (dsytd2).
void ReduceSymmetric(const ColumnMajor& a, const Tridiagonal& to);

// Eigenvalues of a symmetric tridiagonal matrix [n, n] into `diagonal`, ascending; destroys `subdiagonal`; vectors
// column by column, ld apart. work: 2 n. (dsteqr) False where it does not converge.
bool TridiagonalQr(int64_t n, double* diagonal, double* subdiagonal, double* vectors, int64_t ld, double* work);

// The index-th eigenvalue, from below, of diag(poles) + rho z z^T, poles [k] ascending, rho > 0, |z| about 1; gaps [k]
// = poles - root, each as accurate as it can be; for k <= 2 the eigenvector in their place. (dlaed4) False where it
// does not converge.
bool SecularRoot(int64_t k, int64_t index, const double* poles, const double* z, double rho, double* gaps,
                 double* root);

// y [a.cols] = factor a^T x, x [a.rows] (dgemv).
void TimesTransposed(double factor, const ColumnMajor& a, const double* x, double* y);

// As Qr, of a's columns in an order such that |R_kk| falls; pivots: [cols]. work: PivotedQrWork(cols). (dgeqp3)
void PivotedQr(const ColumnMajor& a, int* pivots, double* factors, double* work);
int64_t PivotedQrWork(int64_t cols);

// Rows and columns [begin, end) of a matrix whose other rows and columns are triangular already.
struct ActiveRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// Permutes a [n, n], n >= 1, so that eigenvalues which stand alone come first and last; kScaled also scales the rest by
// powers of two so that rows and columns have similar norms. permutation: [n], for Unbalance. (dgebal)
enum class Balancing { kPermuted, kScaled };
ActiveRange Balance(Balancing balancing, const ColumnMajor& a, double* permutation);
// Rows of z [n, .] back where they were before they were permuted. (dgebak)
void Unbalance(const ActiveRange& range, const double* permutation, const ColumnMajor& z);

// Columns [begin, begin + panel) of a [n, n], active in rows and columns [begin, end), to Hessenberg form, with y
// [end, panel], ld end, and t [panel, panel] such that the rest of a is then still to become (I - V t^T V^T) (a - y
// V^T). factors: [panel]. (dlahr2)
void ReduceHessenbergPanel(const ColumnMajor& a, const ActiveRange& range, int64_t panel, double* factors, double* t,
                           double* y);
// y [rows, panel] = y V^T, with V the first `panel` rows of reflectors in v [., panel], unit lower triangular. (dtrmm)
void TimesUnitLowerTransposed(const ColumnMajor& v, const ColumnMajor& y);
// c = (I - V t^T V^T) c. work: c.cols * v.cols. (dlarfb)
void ApplyBlockReflectorTransposed(const ColumnMajor& v, const double* t, const ColumnMajor& c, double* work);
// The rest of a without panels. work: a.cols. (dgehd2)
void ReduceHessenberg(const ColumnMajor& a, const ActiveRange& range, double* factors, double* work);

// A Hessenberg matrix h [n, n] on its way to its real Schur form. z [n, n], which is turned along, and what of h stands
// outside the active range count where z.data is set; otherwise eigenvalues alone are wanted.
struct HessenbergQr {
  ColumnMajor h;
  ColumnMajor z;
  double* real = nullptr;       // [n], eigenvalues as they come and shifts
  double* imaginary = nullptr;  // [n]
};

// All at once, for small ranges. (dlahqr) False where it does not converge.
bool SmallSchur(const HessenbergQr& qr, const ActiveRange& range);

// Aggressive early deflation in the last `window` rows of the range. work: DeflationWork(n, window). (dlaqr3)
struct Deflation {
  int64_t deflated = 0;  // eigenvalues, the last of the range
  int64_t shifts = 0;    // where the undeflated ones before them stand in real and imaginary
};
Deflation DeflateEarly(const HessenbergQr& qr, const ActiveRange& range, int64_t window, double* work);
int64_t DeflationWork(int64_t n, int64_t window);

// One sweep of small bulges with the shifts real[at], .., real[at + shifts - 1], shifts even, pairs adjacent. work:
// SweepWork(n, shifts). (dlaqr5)
void Sweep(const HessenbergQr& qr, const ActiveRange& range, int64_t at, int64_t shifts, double* work);
int64_t SweepWork(int64_t n, int64_t shifts);

// The eigenvalues of a real 2 x 2 matrix [a, b; c, d], a pair or two real ones. (dlanv2)
void EigenvaluesOfTwo(double a, double b, double c, double d, double* real, double* imaginary);

}  // namespace attend::compute::lapack

#endif  // ATTEND_SERVER_COMPUTE_LAPACK_H_
