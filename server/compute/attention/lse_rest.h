// What rounding took from an lse: lse + rest is the log sum exp of a row's scores to T's precision of its logarithm,
// however large the scores are. Thread-safe for distinct rows.
//
// Without it a weight exp(score - lse) is off by half a unit in the last place of lse: with logits of several hundred,
// a hundred times the weight's own rounding.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_LSE_REST_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_LSE_REST_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/compute/attention/softmax_tile.h"
#include "server/compute/attention/tile_products.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// Whether any of these is so large that its rounding shows beside that of the logarithm in it.
template <typename T>
bool HasLargeLse(const T* lse, int64_t count);

// rest [rows.queries] of the queries of `rows` and all keys that they see, which `rows` does not say: one pass over
// their scores. `lse` [rows.queries] is what Attention made; where it is -infinity, the rest is 0. `tile` is memory for
// queries and the keys of one tile; `states` has room for the queries.
// REQUIRES: the problem is prepared; tile.rows >= rows.queries, tile.stride >= tile.cols + kTilePadding.
// Returns Gemm's errors.
template <typename T>
absl::Status ComputeLseRest(const AttentionProblem<T>& problem, const TilePlace& rows, const T* lse,
                            const Matrix<T>& tile, const RowStates<T>& states, T* rest);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_LSE_REST_H_
