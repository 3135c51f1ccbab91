#include "server/compute/attention/tile_products.h"

#include <algorithm>

#include "server/compute/attention/additive.h"
#include "server/compute/attention/band_strips.h"
#include "server/compute/attention/few_queries.h"

namespace attend::compute {
namespace {

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
  return ForEachBandStrip(tile, band, [&](const BandStrip& strip) {
    return Gemm(scale, strip.Queries(queries), Transposed(strip.Keys(keys)), T{0}, strip.Of(scores));
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
  return ForEachBandStrip(tile, band, [&](const BandStrip& strip) {
    const Matrix<T> rows(output.row(strip.row), strip.rows, output.cols, output.stride);
    return Gemm(T{1}, strip.Of(weights), strip.Keys(values), T{1}, rows);
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
