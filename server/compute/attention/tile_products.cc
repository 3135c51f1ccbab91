#include "server/compute/attention/tile_products.h"

#include <algorithm>

#include "server/compute/attention/additive.h"
#include "server/compute/attention/few_queries.h"

namespace attend::compute {
namespace {

// Rows of a strip: few enough to leave little of a hidden corner in it, many enough for a product near its peak.
constexpr int64_t kStripRows = 64;

template <typename T>
Matrix<const T> QueriesOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  return Matrix<const T>(problem.query.at(tile.batch, tile.head, tile.query), tile.queries, problem.d,
                         problem.query.row_stride);
}

template <typename T>
Matrix<const T> KeysOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  const int64_t head = tile.head / (problem.heads / problem.kv_heads);
  return Matrix<const T>(problem.key.at(tile.batch, head, tile.key), tile.keys, problem.d, problem.key.row_stride);
}

template <typename T>
Matrix<const T> ValuesOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  const int64_t head = tile.head / (problem.heads / problem.kv_heads);
  return Matrix<const T>(problem.value.at(tile.batch, head, tile.key), tile.keys, problem.d_value,
                         problem.value.row_stride);
}

template <typename T>
Matrix<T> Part(const Matrix<T>& m, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  return Matrix<T>(m.row(row) + col, rows, cols, m.stride);
}

// Calls product(row, rows, begin, end) for strips of rows and the columns that some row of the strip sees.
template <typename Product>
absl::Status ForEachStrip(const TilePlace& tile, const KeyBand& band, const Product& product) {
  if (IsWhole(band, tile)) return product(0, tile.queries, 0, tile.keys);
  for (int64_t row = 0; row < tile.queries; row += kStripRows) {
    const int64_t rows = std::min(kStripRows, tile.queries - row);
    const int64_t begin = band.begin(row);
    const int64_t end = band.end(row + rows - 1);
    if (begin >= end) continue;
    if (absl::Status done = product(row, rows, begin, end); !done.ok()) return done;
  }
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status ComputeScores(const AttentionProblem<T>& problem, const TilePlace& tile, const KeyBand& band,
                           const Matrix<T>& scores) {
  const Matrix<const T> queries = QueriesOf(problem, tile);
  const Matrix<const T> keys = KeysOf(problem, tile);
  if (const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score)) {
    AdditiveTile(queries, keys, additive->w_score, band, scores);
    return absl::OkStatus();
  }
  const T scale = static_cast<T>(problem.scale);
  if (tile.queries <= kFewQueries) {
    ScoresOfFew(scale, queries, keys, scores);
    return absl::OkStatus();
  }
  return ForEachStrip(tile, band, [&](int64_t row, int64_t rows, int64_t begin, int64_t end) {
    return Gemm(scale, Part(queries, row, rows, 0, queries.cols),
                Transposed(Operand<T>(Part(keys, begin, end - begin, 0, keys.cols))), T{0},
                Part(scores, row, rows, begin, end - begin));
  });
}

template <typename T>
absl::Status AddValues(const AttentionProblem<T>& problem, const TilePlace& tile, const KeyBand& band,
                       const Matrix<T>& weights, const Matrix<T>& output) {
  const Matrix<const T> values = ValuesOf(problem, tile);
  if (tile.queries <= kFewQueries) {
    AddValuesToFew(Matrix<const T>(weights.data, weights.rows, weights.cols, weights.stride), values, output);
    return absl::OkStatus();
  }
  return ForEachStrip(tile, band, [&](int64_t row, int64_t rows, int64_t begin, int64_t end) {
    return Gemm(T{1}, Part(weights, row, rows, begin, end - begin), Part(values, begin, end - begin, 0, values.cols),
                T{1}, Part(output, row, rows, 0, output.cols));
  });
}

template absl::Status ComputeScores(const AttentionProblem<float>&, const TilePlace&, const KeyBand&,
                                    const Matrix<float>&);
template absl::Status ComputeScores(const AttentionProblem<double>&, const TilePlace&, const KeyBand&,
                                    const Matrix<double>&);
template absl::Status AddValues(const AttentionProblem<float>&, const TilePlace&, const KeyBand&, const Matrix<float>&,
                                const Matrix<float>&);
template absl::Status AddValues(const AttentionProblem<double>&, const TilePlace&, const KeyBand&,
                                const Matrix<double>&, const Matrix<double>&);

}  // namespace attend::compute
