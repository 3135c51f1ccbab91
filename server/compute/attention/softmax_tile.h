// One tile of scores on its way through the online softmax: mask, maximum, exponential and row sum in two sweeps over
// each row while it is in the nearest cache. Thread-safe for distinct tiles.
//
// Source: Milakov and Gimelshein 2018.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_TILE_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_TILE_H_

#include <cstdint>

#include "server/compute/attention/mask.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// Columns of a tile's memory past its last one that the sweeps may overwrite.
inline constexpr int64_t kTilePadding = 16;

// What is known of each row after the tiles so far. Starts as max = -infinity, sum = weighted = 0.
template <typename T>
struct RowStates {
  T* max = nullptr;         // [rows] of the scores
  T* sum = nullptr;         // [rows] sum of e = exp(score - max)
  T* weighted = nullptr;    // [rows] sum of e * (score - max), for the entropy; null: not wanted
  T* correction = nullptr;  // [rows] written by SoftmaxTile: what earlier sums of the row were multiplied by
};

// Where the masked scores go on their way, row-major: row r starts at data + r * stride. Null: nowhere.
template <typename T>
struct ScoreCopy {
  T* data = nullptr;
  int64_t stride = 0;
};

struct TileOutcome {
  bool finite = true;    // false: a visible score is not finite; the tile and its rows' states are then unspecified
  bool rescale = false;  // some row's maximum rose: what was accumulated for it is to be multiplied by its correction
};

// Replaces scores [rows, cols] by exp(score - max), 0 where hidden, and updates the rows' states.
// `mask` is null where it would change nothing.
// REQUIRES: scores.stride >= scores.cols + kTilePadding.
TileOutcome SoftmaxTile(const Matrix<float>& scores, const TileMask<float>* mask, const RowStates<float>& rows,
                        const ScoreCopy<float>& copy);
TileOutcome SoftmaxTile(const Matrix<double>& scores, const TileMask<double>* mask, const RowStates<double>& rows,
                        const ScoreCopy<double>& copy);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_SOFTMAX_TILE_H_
