// Diagonal scaling D^-1 A D that makes rows and columns of A equally large. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_

#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// D = diag(2^exponent), powers of two, so that scaling does not round. Empty where it would change little: where every
// row and its column are alike within a factor of 16. Balancing lowers the norm and keeps entries of very different
// size apart, but errors in small entries of the balanced matrix may be large ones in A (Watkins 2006): whether it
// helped is for the caller to measure. `exponent`: |a_ij| <= 2^exponent, nearly so for the largest. Exponents are
// within
// +- kMostBalance. Source: Parlett and Reinsch 1969; Osborne 1960. Errors are the executor's.
template <typename T>
absl::Status BalanceExponents(runtime::Executor& executor, const Matrix<const T>& a, int exponent,
                              std::vector<int>& exponents);

inline constexpr int kMostBalance = 1000;

// c 2^scale = D^-1 a D, the largest entry of c in [1/2, 1): nothing overflows, and what underflows is 2^-900 times that
// or less. `exponents` [n] as above. c and a do not overlap.
template <typename T>
absl::Status Balance(runtime::Executor& executor, const std::vector<int>& exponents, const Matrix<const T>& a,
                     const Matrix<T>& c, int& scale);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_
