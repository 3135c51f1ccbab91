// Softmax attention of a block of queries in float32, by panels of queries (see panel_products-inl.h): the fastest way
// where scores are dot products and nothing but a band hides keys. Thread-safe for distinct blocks and workers.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_BLOCK_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_BLOCK_H_

#include <cstddef>
#include <cstdint>

#include "server/compute/attention/forward.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

// Queries of a block: whole panels, however wide the vectors are. Keys of a tile: their scores with one panel stay in
// the first-level cache, and they and their values in the second-level cache for all panels of a block.
inline constexpr int64_t kPanelBlockQueries = 192;
inline constexpr int64_t kPanelTileKeys = 384;
// Keys that with their values stay in the second-level cache while panel after panel reads them all.
inline constexpr int64_t kPanelResidentKeys = 512;

// Whether PanelBlock can compute what is wanted.
bool SuitsPanels(const AttentionProblem<float>& problem, const AttentionResult<float>& wanted);

// What a block needs while it is computed; all aligned to cache lines.
struct PanelMemory {
  float* queries;  // [panels, d, queries of a panel]
  float* scores;   // [kPanelTileKeys, queries of a panel]
  float* sums;     // [queries, sums_stride], of values times weights
  int64_t sums_stride;
  float* max;       // [queries] of the scores so far
  float* total;     // [queries] of the weights so far
  float* weighted;  // [queries] sum of weight * (score - max)
};

class PanelScratch {
 public:
  PanelScratch(runtime::BufferPool& pool, const AttentionProblem<float>& problem, int workers)
      : problem_(problem), buffer_(pool.AllocateArray<float>(static_cast<size_t>(workers) * Elements(problem))) {}

  // For one worker.
  static size_t Elements(const AttentionProblem<float>& problem);

  PanelMemory Of(int worker) const;

 private:
  const AttentionProblem<float>& problem_;
  runtime::Buffer buffer_;
};

// Output, lse and entropy of the block's queries. Returns false where a score or a sum overflowed on its way; results
// are then unspecified. REQUIRES: SuitsPanels; the problem is prepared; block.count <= kPanelBlockQueries.
bool PanelBlock(const AttentionProblem<float>& problem, const QueryBlock& block, const HeadResult<float>& result,
                const PanelScratch& scratch, int worker);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_BLOCK_H_
