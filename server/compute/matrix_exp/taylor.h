// exp(t A) of a general matrix by a Taylor polynomial (taylor_polynomial.h) and squarings. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_H_

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/compute/matrix_exp/powers.h"

namespace attend::compute {

// result [n, n], contiguous, = exp(time * A). `powers` are of A and grow as needed; a later time finds them there.
// All values are kept as a matrix of moderate entries times a power of two, so that what overflows or vanishes on the
// way does not where the result does not. time may be any finite number.
// Returns OUT_OF_RANGE with norm and time in the message where an entry overflows T, and the executor's errors.
template <typename T>
absl::Status TaylorExp(runtime::Executor& executor, runtime::BufferPool& pool, Powers<T>& powers, double time,
                       const Matrix<T>& result, MatrixExpReport& report);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_H_
