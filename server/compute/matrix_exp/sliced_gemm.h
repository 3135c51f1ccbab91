// Products of matrices of pairs (pair_gemm.h) out of three plain products, where the entries are alike enough for that
// to keep every entry's relative accuracy; entries where it does not are computed as pair_gemm.h does.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SLICED_GEMM_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SLICED_GEMM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/matrix_exp/pair_gemm.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// What a chain of products asks for, and what they found.
struct PairAccuracy {
  double tolerance = 0;  // relative, of every entry
  int skip = 0;          // further products that three plain ones are not tried for, since they gave too few entries
};

// c = a b, entries >= 0, all [n, n] and contiguous; every entry of c has a relative error of at most the tolerance, or
// that of PairGemm where it asks for more.
//
// Without its diagonal, a = A1 + A2, where A1 holds the leading bits of every row, as many as make all sums of A1 B1
// exact in double; b alike by columns. c = A1 B1 + (A1 B2 + A2 b), the second term rounded at 2^-53 of what is already
// 2^-22 of the rows' and columns' largest entries; products with the diagonals are added as pairs. Extra memory: four
// [n, n] of double. REQUIRES: c overlaps neither a nor b; n >= 1. Source: Ozaki, Ogita, Oishi and Rump 2012 (error-free
// splitting).
absl::Status SlicedGemm(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b,
                        PairPlanes c, PairAccuracy& accuracy);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SLICED_GEMM_H_
