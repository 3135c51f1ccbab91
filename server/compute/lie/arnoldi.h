// Eigenvalues of largest modulus by products with vectors. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_
#define ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_

#include <Eigen/Core>
#include <complex>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// D = H - right left^T, or its transpose, for h [n, n].
struct DeflatedMatrix {
  Matrix<const double> h;
  Eigen::VectorXd right, left;  // [n]; zero where nothing is taken out
  bool transposed = false;

  // to = D from. Polls cancellation.
  absl::Status Apply(runtime::Executor& executor, const double* from, double* to) const;
};

struct RitzPair {
  std::complex<double> value;
  Eigen::VectorXcd vector;  // [n], unit
  double residual = 0;      // as Arnoldi's recurrence has it: not measured
};

struct ArnoldiGoal {
  int most_restarts = 1;
  double residual = 0;                          // where to stop
  std::optional<std::complex<double>> nearest;  // the Ritz value wanted; else the one of largest modulus
};

// From `start` [n], not 0, in up to 128 steps, and again from the Ritz vector found, until the residual is small
// enough. A residual is no bound of the error where the eigenvalue is ill conditioned. Source: Arnoldi 1951; Saad 2011,
// chapter 6. Polls cancellation between steps.
absl::Status Arnoldi(runtime::Executor& executor, runtime::BufferPool& pool, const DeflatedMatrix& d,
                     const Eigen::VectorXd& start, const ArnoldiGoal& goal, RitzPair& pair);

// Real and imaginary part, added: what to start from so that both directions of a pair are found again.
Eigen::VectorXd RealStart(const RitzPair& pair);

double ArnoldiWorkspaceBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_LIE_ARNOLDI_H_
