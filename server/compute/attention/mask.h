// Which keys the queries of one (batch, head) may see, for a whole matrix or a tile of it. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_

#include <algorithm>
#include <cstdint>

#include "server/compute/attention/problem.h"

namespace attend::compute {

// Causal, windows and key_lengths leave each query one run of keys, and it moves by one key from query to query: query
// i stands at key i + place and sees the keys [i + left, i + right) within [0, limit).
struct KeyBand {
  static constexpr int64_t kUnbounded = int64_t{1} << 60;

  int64_t left = -kUnbounded;
  int64_t right = kUnbounded;
  int64_t limit = 0;
  int64_t place = 0;

  int64_t begin(int64_t query) const { return std::clamp<int64_t>(query + left, 0, limit); }
  int64_t end(int64_t query) const { return std::clamp<int64_t>(query + right, begin(query), limit); }

  // The same band for the tile of `keys` columns whose first row and column are `query` and `key`.
  KeyBand Tile(int64_t query, int64_t key, int64_t keys) const {
    return {left + query - key, right + query - key, std::clamp<int64_t>(limit - key, 0, keys), place + query - key};
  }
};

template <typename T>
KeyBand VisibleBand(const AttentionProblem<T>& problem, int64_t batch) {
  const AttentionMask<T>& mask = problem.mask;
  KeyBand band;
  band.limit = mask.key_lengths.empty() ? problem.m : mask.key_lengths[batch];
  band.place = mask.alignment == Alignment::kBottomRight ? problem.m - problem.n : 0;
  if (mask.causal) band.right = band.place + 1;
  if (mask.window_right) band.right = std::min(band.right, band.place + *mask.window_right + 1);
  if (mask.window_left) band.left = band.place - *mask.window_left;
  return band;
}

// What becomes of one tile of raw scores before the softmax: softcap (0: none), minus slope * distance, plus bias, and
// hidden by the band (in the tile's own rows and columns) and `allowed`. Null: absent.
template <typename T>
struct TileMask {
  KeyBand band;
  T softcap = 0;
  T alibi_slope = 0;
  const uint8_t* allowed = nullptr;
  int64_t allowed_row_stride = 0;
  int64_t allowed_stride = 0;
  const T* bias = nullptr;
  int64_t bias_row_stride = 0;
  int64_t bias_stride = 0;
};

// The softcap of a problem as T can compute with it; 0: none. Caps that no score reaches are none, and those that no
// score but 0 stays below are as good as a small one.
template <typename T>
T SoftcapOf(const AttentionProblem<T>& problem) {
  constexpr T kUnreached = sizeof(T) == 4 ? T(0x1p120) : T(0x1p1000);
  constexpr T kSmallest = sizeof(T) == 4 ? T(0x1p-100) : T(0x1p-900);
  const auto* softmax = std::get_if<SoftmaxNormalization>(&problem.normalization);
  if (softmax == nullptr || softmax->softcap == 0 || softmax->softcap >= kUnreached) return 0;
  return std::max(static_cast<T>(softmax->softcap), kSmallest);
}

template <typename T>
TileMask<T> MaskOfTile(const AttentionMask<T>& mask, const KeyBand& band, int64_t batch, int64_t head, int64_t query,
                       int64_t key, int64_t keys) {
  TileMask<T> tile;
  tile.band = band.Tile(query, key, keys);
  if (!mask.alibi_slopes.empty()) tile.alibi_slope = mask.alibi_slopes[static_cast<size_t>(head)];
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

// Whether a tile's band is all of its mask.
template <typename T>
bool IsOnlyBand(const TileMask<T>& tile) {
  return tile.allowed == nullptr && tile.bias == nullptr && tile.softcap == 0 && tile.alibi_slope == 0;
}

// Whether any of it changes the tile: false lets a tile of plain scores through untouched.
template <typename T>
bool Hides(const TileMask<T>& tile, int64_t rows, int64_t keys) {
  const bool whole = tile.band.begin(rows - 1) == 0 && tile.band.end(0) == keys;
  return !whole || !IsOnlyBand(tile);
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_MASK_H_
