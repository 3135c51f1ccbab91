// What the kernels of a panel work on.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_TASK_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_TASK_H_

#include <algorithm>
#include <cstdint>

#include "server/compute/attention/forward.h"
#include "server/compute/attention/mask.h"
#include "server/compute/attention/panel_block.h"
#include "server/compute/gemm.h"

namespace attend::compute {

// One block of queries of one head.
struct PanelTask {
  Matrix<const float> queries;
  Matrix<const float> keys;
  Matrix<const float> values;
  TileMask<float> mask;  // of the block's queries and all keys; allowed and bias are the same for all queries
  bool only_band;        // is all of the mask
  int64_t first_key;     // keys [first_key, end_key) count
  int64_t end_key;
  float query_factor;  // scores are mask_scale * (query_factor * query) . key, where query_factor is a power of two
  float mask_scale;    // in (0, 1]; left to `scale` where the mask is but a band
  float scale;         // of what the mask leaves, in (0, 1]
  HeadResult<float> result;
  int64_t first_row;  // of the result
  PanelMemory memory;
};

struct KeyRange {
  int64_t begin;
  int64_t end;

  int64_t count() const { return end - begin; }
};

// The keys of `tile` that some of the queries [first, last] see.
inline KeyRange SeenBySome(const KeyBand& band, int64_t first, int64_t last, const KeyRange& tile) {
  const int64_t begin = std::max(tile.begin, band.begin(first));
  return {begin, std::max(begin, std::min(tile.end, band.end(last)))};
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_TASK_H_
