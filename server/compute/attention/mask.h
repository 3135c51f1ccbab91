// Which keys the queries of one (batch, head) may see, for a whole matrix or a tile of it. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_

#include <algorithm>
#include <cstdint>

#include "server/compute/attention/problem.h"

namespace attend::compute {

// Causal and key_lengths leave each query one run of keys, and it moves by one key from query to query: query i sees
// the keys [i + left, i + right) within [0, limit).
struct KeyBand {
  static constexpr int64_t kUnbounded = int64_t{1} << 60;

  int64_t left = -kUnbounded;
  int64_t right = kUnbounded;
  int64_t limit = 0;

  int64_t begin(int64_t query) const { return std::clamp<int64_t>(query + left, 0, limit); }
  int64_t end(int64_t query) const { return std::clamp<int64_t>(query + right, begin(query), limit); }

  // The same band for the tile of `keys` columns whose first row and column are `query` and `key`.
  KeyBand Tile(int64_t query, int64_t key, int64_t keys) const {
    return {left + query - key, right + query - key, std::clamp<int64_t>(limit - key, 0, keys)};
  }
};

template <typename T>
KeyBand VisibleBand(const AttentionProblem<T>& problem, int64_t batch) {
  const AttentionMask<T>& mask = problem.mask;
  KeyBand band;
  band.limit = mask.key_lengths.empty() ? problem.m : mask.key_lengths[batch];
  if (mask.causal) band.right = 1 + (mask.alignment == Alignment::kBottomRight ? problem.m - problem.n : 0);
  return band;
}

// What hides pairs of one tile of scores and is added to it: the band in the tile's own rows and columns, and the
// tile's part of `allowed` and `bias` (null: absent).
template <typename T>
struct TileMask {
  KeyBand band;
  const uint8_t* allowed = nullptr;
  int64_t allowed_row_stride = 0;
  int64_t allowed_stride = 0;
  const T* bias = nullptr;
  int64_t bias_row_stride = 0;
  int64_t bias_stride = 0;
};

template <typename T>
TileMask<T> MaskOfTile(const AttentionMask<T>& mask, const KeyBand& band, int64_t batch, int64_t head, int64_t query,
                       int64_t key, int64_t keys) {
  TileMask<T> tile;
  tile.band = band.Tile(query, key, keys);
  if (mask.allowed) {
    tile.allowed = &mask.allowed.at(batch, head, query, key);
    tile.allowed_row_stride = mask.allowed.strides[2];
    tile.allowed_stride = mask.allowed.strides[3];
  }
  if (mask.bias) {
    tile.bias = &mask.bias.at(batch, head, query, key);
    tile.bias_row_stride = mask.bias.strides[2];
    tile.bias_stride = mask.bias.strides[3];
  }
  return tile;
}

// Whether the tile changes anything: false lets a tile of plain scores through untouched.
template <typename T>
bool Hides(const TileMask<T>& tile, int64_t rows, int64_t keys) {
  const bool whole = tile.band.begin(rows - 1) == 0 && tile.band.end(0) == keys;
  return !whole || tile.allowed != nullptr || tile.bias != nullptr;
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_
