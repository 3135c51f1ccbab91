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
// helped is for the caller to measure. `exponent`: |a_ij| <= 2^exponent. Source: Parlett and Reinsch 1969; Osborne
// 1960. Errors are the executor's.
template <typename T>
absl::Status BalanceExponents(runtime::Executor& executor, const Matrix<const T>& a, int exponent,
                              std::vector<int>& exponents);

// a = D^-1 a D.
template <typename T>
absl::Status Balance(runtime::Executor& executor, const std::vector<int>& exponents, const Matrix<T>& a);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_BALANCE_H_
