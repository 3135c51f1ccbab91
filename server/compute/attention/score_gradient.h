// A tile of scores made of its prepared queries and keys, and its gradient taken back to them. Thread-safe for tiles
// that share neither a query nor a key.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/problem.h"
#include "server/compute/attention/tile_products.h"
#include "server/compute/gemm.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

// Collects the gradients of a prepared problem's query, key and w_score.
template <typename T>
class ScoreGradient {
 public:
  // query [batch, heads, n, d] and key [batch, kv_heads, m, d] are added to; of an additive score they are left without
  // the factor w_score. REQUIRES: the problem outlives it.
  ScoreGradient(runtime::BufferPool& pool, const AttentionProblem<T>& problem, const HeadsView<T>& query,
                const HeadsView<T>& key);

  // slopes [queries, keys] are those of the tile's scores, 0 where hidden; `band` is in the tile's rows and columns.
  // REQUIRES: no tile crosses a border of PairBlocks.
  absl::Status Add(const TilePlace& tile, const KeyBand& band, const Matrix<T>& slopes) const;

  // w_score [h] of an additive score; nothing for others. To be called last.
  void FinishWScore(T* w_score) const;

  // Bytes of working memory.
  static double Bytes(const AttentionProblem<T>& problem);

 private:
  static int64_t Blocks(const AttentionProblem<T>& problem);  // of queries, over all kv heads
  absl::Status AddDotProduct(const TilePlace& tile, const KeyBand& band, const Matrix<T>& slopes) const;
  void AddAdditive(const AdditiveScore<T>& score, const TilePlace& tile, const Matrix<T>& slopes) const;

  const AttentionProblem<T>& problem_;
  HeadsView<T> query_;
  HeadsView<T> key_;
  runtime::Buffer w_score_memory_;  // additive: [kv heads and blocks of queries, h], as those run at the same time
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_SCORE_GRADIENT_H_
