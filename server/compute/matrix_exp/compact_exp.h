// exp(t A) of matrices that stay in the cache, without calls to a BLAS: the way of taylor.h at a fixed small cost.
// Thread-safe; runs on the calling thread. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_EXP_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_EXP_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "server/compute/matrix_exp/matrix_exp.h"

namespace attend::compute {

inline constexpr int64_t kLargestCompact = 128;

// One matrix and where its exponentials go.
template <typename T>
struct CompactProblem {
  int64_t n = 0;                       // in [2, kLargestCompact]
  const T* a = nullptr;                // [n, n], finite; what follows it is fetched: a batch's next matrix
  absl::Span<const double> times;      // finite
  int64_t time_step = 1;               // matrices from one time's result and report to the next one's
  T* result = nullptr;                 // [n, n] for each time
  MatrixExpReport* reports = nullptr;  // one for each time
};

// Bytes of scratch memory, to be aligned to 64.
template <typename T>
size_t CompactBytes(int64_t n);

// Whether it was done. Not done where a norm of t A, of its powers or of the result is large or small enough that the
// numbers need room (TaylorExp gives it), or where balancing would pay (balance.h); results are then unspecified.
// Which it is depends on the matrix and the times alone.
template <typename T>
bool CompactExp(const CompactProblem<T>& problem, std::byte* scratch);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_EXP_H_
