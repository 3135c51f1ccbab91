#include "server/compute/attention/score_gradient.h"

#include "server/compute/vector_math.h"

namespace attend::compute {
namespace {

template <typename T>
Operand<T> QueriesOf(const AttentionProblem<T>& problem, const PairTile& tile) {
  return Operand<T>(problem.query.at(tile.batch, tile.head, tile.query), tile.queries, problem.d,
                    problem.query.row_stride);
}

template <typename T>
Operand<T> KeysOf(const AttentionProblem<T>& problem, const PairTile& tile) {
  return Operand<T>(problem.key.at(tile.batch, tile.kv_head, tile.key), tile.keys, problem.d, problem.key.row_stride);
}

}  // namespace

template <typename T>
absl::Status ComputeScores(const AttentionProblem<T>& problem, const PairTile& tile, const Matrix<T>& scores) {
  return Gemm(static_cast<T>(problem.scale), QueriesOf(problem, tile), Transposed(KeysOf(problem, tile)), T{0}, scores);
}

template <typename T>
absl::Status AddScoreGradients(const AttentionProblem<T>& problem, const PairTile& tile, const Matrix<T>& slopes,
                               const AttentionGradients<T>& gradients) {
  const T scale = static_cast<T>(problem.scale);
  const Matrix<T> query(gradients.query.at(tile.batch, tile.head, tile.query), tile.queries, problem.d,
                        gradients.query.row_stride);
  const Matrix<T> key(gradients.key.at(tile.batch, tile.kv_head, tile.key), tile.keys, problem.d,
                      gradients.key.row_stride);
  absl::Status done = Gemm(scale, slopes, KeysOf(problem, tile), T{1}, query);
  if (!done.ok()) return done;
  return Gemm(scale, Transposed(Operand<T>(slopes)), QueriesOf(problem, tile), T{1}, key);
}

template <typename T>
void AddBiasGradient(const BroadcastView<T>& like, const PairTile& tile, const Matrix<T>& slopes, T* bias) {
  if (bias == nullptr) return;
  const auto& strides = like.strides;
  T* first = bias + tile.batch * strides[0] + tile.head * strides[1] + tile.query * strides[2] + tile.key * strides[3];
  for (int64_t r = 0; r < slopes.rows; ++r) {
    const T* row = slopes.row(r);
    T* to = first + r * strides[2];
    if (strides[3] == 0) {
      *to += Sum(row, slopes.cols);
    } else {
      for (int64_t c = 0; c < slopes.cols; ++c) to[c] += row[c];
    }
  }
}

template absl::Status ComputeScores(const AttentionProblem<float>&, const PairTile&, const Matrix<float>&);
template absl::Status ComputeScores(const AttentionProblem<double>&, const PairTile&, const Matrix<double>&);
template absl::Status AddScoreGradients(const AttentionProblem<float>&, const PairTile&, const Matrix<float>&,
                                        const AttentionGradients<float>&);
template absl::Status AddScoreGradients(const AttentionProblem<double>&, const PairTile&, const Matrix<double>&,
                                        const AttentionGradients<double>&);
template void AddBiasGradient(const BroadcastView<float>&, const PairTile&, const Matrix<float>&, float*);
template void AddBiasGradient(const BroadcastView<double>&, const PairTile&, const Matrix<double>&, double*);

}  // namespace attend::compute
