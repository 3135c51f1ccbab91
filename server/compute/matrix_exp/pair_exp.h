// exp(t A) in pairs of doubles (pair_gemm.h): for matrices so far from normal that the squarings of doubles lose their
// digits. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_EXP_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_EXP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "server/compute/gemm.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Beyond, nine products and all squarings at twelve times their price take seconds.
inline constexpr int64_t kLargestPairExp = 128;

// Whether result [n, n] = exp(time * a) came out: not where a value on the way is too large or small for pairs, or
// where time * a is beyond 2^60. A Taylor polynomial of degree 29 at a norm of at most 1/2, and squarings. Fills
// `report`. Memory: 14 matrices [n, n]. Errors: the executor's.
absl::StatusOr<bool> PairExp(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& a,
                             double time, const Matrix<double>& result, MatrixExpReport& report);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_EXP_H_
