// A tile of scores made of its queries and keys, and its gradient taken back to them. Thread-safe for distinct tiles.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/problem.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// The queries [query, query + queries) of one head and the keys [key, key + keys) that it reads.
struct PairTile {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t kv_head = 0;
  int64_t query = 0;
  int64_t queries = 0;
  int64_t key = 0;
  int64_t keys = 0;
};

// scores [queries, keys] = scale * query key^T
template <typename T>
absl::Status ComputeScores(const AttentionProblem<T>& problem, const PairTile& tile, const Matrix<T>& scores);

// query gradient += scale * slopes key;  key gradient += scale * slopes^T query, slopes [queries, keys].
template <typename T>
absl::Status AddScoreGradients(const AttentionProblem<T>& problem, const PairTile& tile, const Matrix<T>& slopes,
                               const AttentionGradients<T>& gradients);

// bias += slopes, summed over the dimensions that `like` stretches; its strides are those of `bias`. A key's stride is
// 0 or 1. Nothing where bias is null.
template <typename T>
void AddBiasGradient(const BroadcastView<T>& like, const PairTile& tile, const Matrix<T>& slopes, T* bias);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_
