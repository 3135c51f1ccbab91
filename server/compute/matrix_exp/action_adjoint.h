// Gradients through exp(t A) B that never form an exponential. Thread-safe. In double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_ADJOINT_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_ADJOINT_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/taylor_action.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// With G the gradient by exp(time A) B: grad_a [n, n] += time L(time A^T, G B^T), of every entry of A, and
// grad_b [n, p] += exp(time A^T) G. T is float or double.
//
// The derivative of the polynomial of each step of TaylorAction, backwards: with S the step's matrix, F what it began
// with and G what came back to it, grad S = sum over j, l of j! l! / (j + l + 1)! (S^Tj G / j!) (S^l F / l!)^T, one
// product of inner dimension degree * p.
// False, and nothing done, where it would take more memory than ActionAdjointBytes. OUT_OF_RANGE where a gradient
// overflows double, and the executor's errors: grad_a and grad_b are then unspecified. Time: about four times
// TaylorAction's.
template <typename T>
absl::StatusOr<bool> AddActionAdjoint(runtime::Executor& executor, runtime::BufferPool& pool, TaylorAction& action,
                                      double time, const Matrix<const T>& b, const Matrix<const T>& gradient,
                                      const Matrix<double>& grad_a, const Matrix<double>& grad_b);

double ActionAdjointBytes(int64_t n, int64_t p);
double ActionAdjointFlops(int64_t n, int64_t p, const ActionPlan& plan);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_ACTION_ADJOINT_H_
