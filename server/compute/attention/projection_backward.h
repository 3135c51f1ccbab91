// The gradients of one projection, out = x w + bias. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_BACKWARD_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_BACKWARD_H_

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/parallel_gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// All are contiguous. Null: not wanted.
template <typename T>
struct ProjectionGradients {
  T* x = nullptr;     // [rows, inner]
  T x_before = 0;     // what x is multiplied by before its gradient is added
  T* w = nullptr;     // [inner, cols]
  T* bias = nullptr;  // [cols]
};

// From the slopes [rows, cols] of the projection of x [rows, inner] by w [inner, cols].
// REQUIRES: w is not null where the gradient of x is wanted. Returns the errors of ParallelGemm.
template <typename T>
absl::Status ProjectionBackward(runtime::Executor& executor, const Matrix<const T>& x, const T* w,
                                const Matrix<const T>& slopes, const ProjectionGradients<T>& to);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PROJECTION_BACKWARD_H_
