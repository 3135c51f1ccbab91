// One step of bidiagonal_svd.h: the singular value decompositions of two blocks and the row between them become one.
// Not thread-safe; distinct blocks are independent.
#ifndef ATTEND_SERVER_COMPUTE_BIDIAGONAL_MERGE_H_
#define ATTEND_SERVER_COMPUTE_BIDIAGONAL_MERGE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/gemm.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// An upper bidiagonal matrix B [n, m], m = n or n + 1: in rows before `middle` and columns up to it one block of that
// kind, in the rows and columns behind another, and in row `middle` alpha and beta at columns middle and middle + 1.
//
// left [n, n], right [m, m]: row i is a singular vector of values[i], rows before and behind `middle` those of the two
// blocks, with zeros in the others' columns; row middle of right is the first block's null vector, row n (where m > n)
// the second's. Row middle of left and values[middle] count for nothing. `order`: the rows of either block by ascending
// value, [middle] unused, those of the second counted from middle + 1.
struct Blocks {
  Matrix<double> left;
  Matrix<double> right;
  double* values = nullptr;  // [n]
  int* order = nullptr;      // [n]
  int64_t middle = 0;
  double alpha = 0;
  double beta = 0;
};

// Doubles that one merge of at most n rows works in.
int64_t BidiagonalMergeWork(int64_t n);

// values, left and right become B's, the null vector (where m > n) row n of right, `order` all rows by ascending value.
// Errors: the executor's; INTERNAL where a root of the secular equation does not converge.
absl::Status MergeBlocks(runtime::Executor& executor, const Blocks& blocks, double* work);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_BIDIAGONAL_MERGE_H_
