// The parts of a tile that a band leaves. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_BAND_STRIPS_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_BAND_STRIPS_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/tile_products.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// The rows [row, row + rows) of a tile and the columns [begin, end) that some of them see.
struct BandStrip {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t begin = 0;
  int64_t end = 0;

  template <typename T>
  Matrix<T> Of(const Matrix<T>& tile) const {
    return Matrix<T>(tile.row(row) + begin, rows, end - begin, tile.stride);
  }
  template <typename T>
  Operand<T> Queries(const Matrix<const T>& of) const {
    return Operand<T>(of.row(row), rows, of.cols, of.stride);
  }
  template <typename T>
  Operand<T> Keys(const Matrix<const T>& of) const {
    return Operand<T>(of.row(begin), end - begin, of.cols, of.stride);
  }
};

// Rows of a strip: few enough to leave little of a hidden corner in it, many enough for a product near its peak.
inline constexpr int64_t kBandStripRows = 64;

// Calls product(strip) for the strips of the tile that hold visible pairs; the whole tile where the band (in the tile's
// own rows and columns) hides nothing.
template <typename Product>
absl::Status ForEachBandStrip(const TilePlace& tile, const KeyBand& band, const Product& product) {
  if (IsWhole(band, tile)) return product(BandStrip{0, tile.queries, 0, tile.keys});
  for (int64_t row = 0; row < tile.queries; row += kBandStripRows) {
    const int64_t rows = std::min(kBandStripRows, tile.queries - row);
    const BandStrip strip{row, rows, band.begin(row), band.end(row + rows - 1)};
    if (strip.begin >= strip.end) continue;
    if (absl::Status done = product(strip); !done.ok()) return done;
  }
  return absl::OkStatus();
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_BAND_STRIPS_H_
