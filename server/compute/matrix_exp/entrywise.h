// Passes over the entries of whole matrices, vectorized, in panels on the executor's threads. Thread-safe. T is float
// or double. Errors are the executor's.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_H_

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
struct Term {
  T coefficient = 0;
  const T* matrix = nullptr;
};

// out = identity * I + sum of coefficient * matrix, [n, n] and contiguous. `out` may be one of them.
// REQUIRES: 1 to 5 terms.
template <typename T>
absl::Status SumTerms(runtime::Executor& executor, int64_t n, absl::Span<const Term<T>> terms, T identity, T* out);

// sums[j] = sum over i of weights[i] |a_ij|, in double; weights null: 1. The largest is infinite where that overflows.
template <typename T>
absl::Status AbsColumnSums(runtime::Executor& executor, const Matrix<const T>& a, const double* weights, double* sums,
                           double& largest);

// The same of the whole matrix at once, on the calling thread, weights 1; returns the largest.
template <typename T>
double AbsColumnSums(const Matrix<const T>& a, double* sums);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ENTRYWISE_H_
