// Products of matrices whose entries are pairs hi + lo (double_double.h), for results that must keep every entry's
// relative accuracy. About twelve times the work of a plain product.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_GEMM_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_GEMM_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

struct PairPlanes {
  double* hi = nullptr;
  double* lo = nullptr;
};

// Rows [row, row + rows) and columns [col, col + cols).
struct PairRange {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t col = 0;
  int64_t cols = 0;
};

// c = a b, all [n, n] and contiguous, each as two planes. Where all entries are >= 0, every entry of c has relative
// error <= (n + 4) 2^-104 (until products fall below 1e-290). Entry sums run over k in ascending order.
// REQUIRES: c overlaps neither a nor b.
absl::Status PairGemm(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b,
                      PairPlanes c);

// The same for one range of c, on the calling thread.
void PairBlock(runtime::BufferPool& pool, int64_t n, PairPlanes a, PairPlanes b, PairPlanes c, const PairRange& range);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PAIR_GEMM_H_
