// The gradient of a bias that is broadcast over the scores: which heads may add to it at once, and where. Not
// thread-safe; distinct elements may be added to at once.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_

#include <cstdint>
#include <vector>

#include "server/compute/attention/backward.h"
#include "server/compute/attention/pair_blocks.h"
#include "server/compute/attention/tile_products.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

template <typename T>
class BiasGradient {
 public:
  // `gradient` [BiasElements(problem)] is set to zero; null: not wanted.
  BiasGradient(runtime::BufferPool& pool, const AttentionProblem<T>& problem, T* gradient);

  // Adds the slopes of one tile, summed over what the bias stretches. Tiles that share neither a query nor a key may be
  // added at once, of heads of one range of HeadRanges at once.
  void Add(const TilePlace& tile, const Matrix<T>& slopes) const;

  // Adds up what Add kept apart. To be called last.
  void Finish() const;

  // The kv heads of the problem, in ranges that follow one another: heads that share an element of the bias are in
  // different ones.
  std::vector<KvHeadRange> HeadRanges() const;

  // Bytes of working memory.
  static double Bytes(const AttentionProblem<T>& problem);

 private:
  // A bias of one element for all pairs of a head is summed for each query first.
  static bool IsPerHead(const AttentionProblem<T>& problem) {
    return problem.mask.bias.strides[2] == 0 && problem.mask.bias.strides[3] == 0;
  }

  const AttentionProblem<T>& problem_;
  T* gradient_;
  int64_t elements_ = 0;
  runtime::Buffer by_query_;
  T* sums_ = nullptr;
  BroadcastView<T> view_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_BIAS_GRADIENT_H_
