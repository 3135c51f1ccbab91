// The two products of a tile: scores of its queries and keys, and its weights times values. Where the band cuts the
// tile, only strips that hold visible pairs are computed. Thread-safe for distinct tiles.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_TILE_PRODUCTS_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_TILE_PRODUCTS_H_

#include "absl/status/status.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/problem.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// The queries [query, query + queries) of one head and the keys [key, key + keys) that it reads.
struct TilePlace {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t query = 0;
  int64_t queries = 0;
  int64_t key = 0;
  int64_t keys = 0;
};

// Whether the band, in the tile's own rows and columns, hides no pair of it.
inline bool IsWhole(const KeyBand& band, const TilePlace& tile) {
  return band.begin(tile.queries - 1) == 0 && band.end(0) == tile.keys;
}

// scores [queries, keys], raw, of a prepared problem; those that the band hides are unspecified.
// REQUIRES: scores.stride >= keys + kTilePadding. Returns Gemm's errors.
template <typename T>
absl::Status ComputeScores(const AttentionProblem<T>& problem, const TilePlace& tile, const KeyBand& band,
                           const Matrix<T>& scores);

// output [queries, d_value] += weights [queries, keys] values. REQUIRES: hidden weights are 0. Returns Gemm's errors.
template <typename T>
absl::Status AddValues(const AttentionProblem<T>& problem, const TilePlace& tile, const KeyBand& band,
                       const Matrix<T>& weights, const Matrix<T>& output);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_TILE_PRODUCTS_H_
