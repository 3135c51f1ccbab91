// From the real Schur form to the complex one. Thread-safe; runs on the calling thread.
#ifndef ATTEND_SERVER_COMPUTE_LIE_COMPLEX_SCHUR_H_
#define ATTEND_SERVER_COMPUTE_LIE_COMPLEX_SCHUR_H_

#include <complex>
#include <cstdint>

namespace attend::compute {

// Makes t [n, n], quasi-triangular, upper triangular, and turns q [n, n] along: q t q^H stays. Both COLUMN-major. One
// unitary rotation for each 2 x 2 block (Golub and Van Loan 2013, 7.4.3): O(n) each.
void TriangularizeBlocks(int64_t n, std::complex<double>* t, std::complex<double>* q);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_COMPLEX_SCHUR_H_
