// Softmax attention by panels, for the problems that suit them. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_ATTENTION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_ATTENTION_H_

#include "absl/status/status.h"
#include "server/compute/attention/panel_block.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// As SoftmaxBlock, for a block of up to kPanelBlockQueries queries. REQUIRES: SuitsPanels.
absl::Status PanelOrSoftmaxBlock(runtime::BufferPool& pool, const AttentionProblem<float>& problem,
                                 const QueryBlock& block, const HeadResult<float>& result, const PanelScratch& scratch,
                                 int worker);

// As SoftmaxAttention. REQUIRES: SuitsPanels(problem, result).
absl::Status PanelAttention(runtime::Executor& executor, runtime::BufferPool& pool,
                            const AttentionProblem<float>& problem, const AttentionResult<float>& result);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PANEL_ATTENTION_H_
