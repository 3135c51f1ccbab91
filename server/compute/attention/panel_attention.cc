#include "server/compute/attention/panel_attention.h"

#include <algorithm>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/forward.h"

namespace attend::compute {
namespace {

// What a panel could not hold is computed once more by the tiles that tell which number is at fault, if any is.
absl::Status SoftmaxOfLargeNumbers(runtime::BufferPool& pool, const AttentionProblem<float>& problem,
                                   const QueryBlock& block, const HeadResult<float>& result) {
  const TileScratch<float> scratch(pool, problem.n, problem.m, 1);
  for (int64_t first = 0; first < block.count; first += TileShape<float>::kQueries) {
    QueryBlock part = block;
    part.first += first;
    part.count = std::min(TileShape<float>::kQueries, block.count - first);
    if (absl::Status done = SoftmaxBlock(problem, part, result, scratch, 0); !done.ok()) return done;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PanelOrSoftmaxBlock(runtime::BufferPool& pool, const AttentionProblem<float>& problem,
                                 const QueryBlock& block, const HeadResult<float>& result, const PanelScratch& scratch,
                                 int worker) {
  if (PanelBlock(problem, block, result, scratch, worker)) return absl::OkStatus();
  return SoftmaxOfLargeNumbers(pool, problem, block, result);
}

absl::Status PanelAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                            const AttentionProblem<float>& problem, const AttentionResult<float>& result) {
  const int64_t blocks = (problem.n + kPanelBlockQueries - 1) / kPanelBlockQueries;
  const int64_t tiles = problem.batch * problem.heads * blocks;
  if (tiles == 0) return absl::OkStatus();
  const PanelScratch scratch(pool, problem, executor.max_workers());
  return executor.ForEachTile(
      tiles, AttentionFlops(problem) / static_cast<double>(tiles), [&](int64_t index, int worker) {
        const int64_t batch = index / blocks / problem.heads;
        const int64_t head = index / blocks % problem.heads;
        // The last queries first: with a causal mask theirs is the most work, and the short tiles fill the gaps.
        const int64_t first = (blocks - 1 - index % blocks) * kPanelBlockQueries;
        const QueryBlock block{batch, head, first, std::min(kPanelBlockQueries, problem.n - first)};
        return PanelOrSoftmaxBlock(pool, problem, block, ResultOfHead(problem, result, batch, head), scratch, worker);
      });
}

}  // namespace attend::compute
