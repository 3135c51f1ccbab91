#include "server/compute/attention/score_gradient.h"

#include <algorithm>

#include "server/compute/attention/additive_backward.h"
#include "server/compute/attention/band_strips.h"
#include "server/compute/attention/pair_blocks.h"

namespace attend::compute {
namespace {

template <typename T>
int64_t KvHeadOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  return tile.head / (problem.heads / problem.kv_heads);
}

template <typename T>
Matrix<const T> QueriesOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  return Matrix<const T>(problem.query.at(tile.batch, tile.head, tile.query), tile.queries, problem.d,
                         problem.query.row_stride);
}

template <typename T>
Matrix<const T> KeysOf(const AttentionProblem<T>& problem, const TilePlace& tile) {
  return Matrix<const T>(problem.key.at(tile.batch, KvHeadOf(problem, tile), tile.key), tile.keys, problem.d,
                         problem.key.row_stride);
}

int64_t BlocksOf(int64_t n) { return (n + kLeastBlockQueries - 1) / kLeastBlockQueries; }

}  // namespace

template <typename T>
ScoreGradient<T>::ScoreGradient(runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                                const HeadsView<T>& query, const HeadsView<T>& key)
    : problem_(problem), query_(query), key_(key) {
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score);
  if (additive == nullptr) return;
  w_score_memory_ = pool.AllocateArray<T>(static_cast<size_t>(Blocks(problem) * additive->h));
  std::fill_n(w_score_memory_.template as<T>(), Blocks(problem) * additive->h, T{0});
}

template <typename T>
absl::Status ScoreGradient<T>::Add(const TilePlace& tile, const KeyBand& band, const Matrix<T>& slopes) const {
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem_.score);
  if (additive == nullptr) return AddDotProduct(tile, band, slopes);
  AddAdditive(*additive, tile, slopes);
  return absl::OkStatus();
}

template <typename T>
absl::Status ScoreGradient<T>::AddDotProduct(const TilePlace& tile, const KeyBand& band,
                                             const Matrix<T>& slopes) const {
  const T scale = static_cast<T>(problem_.scale);
  const Matrix<const T> queries = QueriesOf(problem_, tile);
  const Matrix<const T> keys = KeysOf(problem_, tile);
  return ForEachBandStrip(tile, band, [&](const BandStrip& strip) {
    const Operand<T> part(strip.Of(slopes));
    const Matrix<T> query(query_.at(tile.batch, tile.head, tile.query + strip.row), part.rows, problem_.d,
                          query_.row_stride);
    const Matrix<T> key(key_.at(tile.batch, KvHeadOf(problem_, tile), tile.key + strip.begin), part.cols, problem_.d,
                        key_.row_stride);
    absl::Status done = Gemm(scale, part, strip.Keys(keys), T{1}, query);
    if (!done.ok()) return done;
    return Gemm(scale, Transposed(part), strip.Queries(queries), T{1}, key);
  });
}

template <typename T>
void ScoreGradient<T>::AddAdditive(const AdditiveScore<T>& score, const TilePlace& tile,
                                   const Matrix<T>& slopes) const {
  const int64_t kv_head = tile.batch * problem_.kv_heads + KvHeadOf(problem_, tile);
  const int64_t block = kv_head * BlocksOf(problem_.n) + tile.query / kLeastBlockQueries;
  const AdditiveTileGradients<T> to{
      Matrix<T>(query_.at(tile.batch, tile.head, tile.query), tile.queries, score.h, query_.row_stride),
      Matrix<T>(key_.at(tile.batch, KvHeadOf(problem_, tile), tile.key), tile.keys, score.h, key_.row_stride),
      w_score_memory_.template as<T>() + block * score.h};
  AdditiveBackwardTile(QueriesOf(problem_, tile), KeysOf(problem_, tile), slopes, to);
}

template <typename T>
void ScoreGradient<T>::FinishWScore(T* w_score) const {
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem_.score);
  if (additive == nullptr || w_score == nullptr) return;
  std::fill_n(w_score, additive->h, T{0});
  const T* sums = w_score_memory_.template as<T>();
  for (int64_t block = 0; block < Blocks(problem_); ++block) {
    for (int64_t k = 0; k < additive->h; ++k) w_score[k] += sums[block * additive->h + k];
  }
}

template <typename T>
int64_t ScoreGradient<T>::Blocks(const AttentionProblem<T>& problem) {
  return problem.batch * problem.kv_heads * BlocksOf(problem.n);
}

template <typename T>
double ScoreGradient<T>::Bytes(const AttentionProblem<T>& problem) {
  const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score);
  if (additive == nullptr) return 0;
  return static_cast<double>(Blocks(problem)) * static_cast<double>(additive->h) * static_cast<double>(sizeof(T));
}

template class ScoreGradient<float>;
template class ScoreGradient<double>;

}  // namespace attend::compute
