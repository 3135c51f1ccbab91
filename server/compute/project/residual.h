// How far a product of factors is from a matrix, measured. Thread-safe. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_PROJECT_RESIDUAL_H_
#define ATTEND_SERVER_COMPUTE_PROJECT_RESIDUAL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

template <typename T>
struct FactorsView {
  const T* u;       // [n, rank], or its transpose
  const T* values;  // [rank], finite
  const T* vt;      // [rank, m]
  int64_t rank;
  bool u_transposed = false;
};

// norm = ||a - u diag(values) vt|| / 2^exponent in the Frobenius norm, a [n, m], summed in double; `exponent` from
// normalized.h. Returns the executor's errors.
template <typename T>
absl::Status ResidualNorm(runtime::Executor& executor, runtime::BufferPool& pool, const T* a, int64_t n, int64_t m,
                          int exponent, const FactorsView<T>& factors, double& norm);
double ResidualWorkspaceBytes(int64_t n, int64_t m, int64_t rank, int workers);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PROJECT_RESIDUAL_H_
