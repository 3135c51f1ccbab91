// The gradient of a bias that is broadcast over the scores: which heads may add to it at once, and where. Not
// thread-safe; distinct elements may be added to at once.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_

#include <cstdint>

#include "server/compute/attention/backward.h"
#include "server/compute/attention/tile_products.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

template <typename T>
class BiasGradient {
 public:
  // `gradient` [BiasElements(problem)] is added to, and starts as zero; null: not wanted.
  BiasGradient(runtime::BufferPool& pool, const AttentionProblem<T>& problem, T* gradient);

  // Adds the slopes of one tile, summed over what the bias stretches. Tiles that share neither a query nor a key may be
  // added at once; with HeadsSharePairs, those of different kv heads must not share a pair (query, key) either.
  void Add(const TilePlace& tile, const Matrix<T>& slopes) const;

  // Adds up what Add kept apart. To be called last.
  void Finish() const;

  bool HeadsSharePairs() const;

  // Bytes of working memory.
  static double Bytes(const AttentionProblem<T>& problem);

 private:
  // Of a bias that has one element for all keys or all queries, each head keeps a row of sums by query or by key.
  static int64_t RowOfSums(const AttentionProblem<T>& problem);

  const AttentionProblem<T>& problem_;
  T* gradient_;
  int64_t row_ = 0;       // elements of such a row; 0: sums go to the gradient itself
  runtime::Buffer rows_;  // [batch, heads, row_]
  T* sums_ = nullptr;     // null: not wanted
  BroadcastView<T> view_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_
