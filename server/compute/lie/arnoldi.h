// The eigenvalue of largest modulus of a deflated transition matrix, by products with vectors. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_
#define ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_

#include <vector>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Of D = S - 1 pi, with s [n, n] row-stochastic and pi its stationary distribution: the largest modulus of a Ritz
// value, and ||D x - mu x|| of its unit Ritz vector, measured as Arnoldi's recurrence has it. Restarted with that
// vector until the residual is at most 1e-10, at most 20 times; the first vector is fixed. A residual is no bound of
// the error where the eigenvalue is ill conditioned. Source: Arnoldi 1951; Saad 2011, chapter 6. Polls cancellation
// between steps.
absl::Status LargestModulus(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& s,
                            const std::vector<double>& pi, double& modulus, double& residual);

double ArnoldiWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_
