// Diagonal scaling D^-1 A D that makes rows and columns of A equally large. Pure functions; thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_

#include <vector>

#include "server/compute/gemm.h"

namespace attend::compute {

// D = diag(2^exponent), powers of two, so that scaling does not round. Empty where balancing does not pay: where rows and
// columns are alike within a factor of 64, or where it could harm. It can, since errors in small entries of the balanced
// matrix may be large ones in A (Watkins 2006): it is done only where max d / min d * |D^-1 A D|_1 <= 8 |A|_1, which
// keeps the backward error a small multiple of roundoff times |A|_1.
// REQUIRES: |a_ij| <= 1.
// Source: Parlett and Reinsch 1969; Osborne 1960.
template <typename T>
std::vector<int> BalanceExponents(const Matrix<const T>& a);

// a = D^-1 a D.
template <typename T>
void Balance(const std::vector<int>& exponents, const Matrix<T>& a);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_
