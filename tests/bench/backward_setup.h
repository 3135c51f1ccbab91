// The backward pass of a benchmark's problem, with its memory.
#ifndef ATTEND_TESTS_BENCH_BACKWARD_SETUP_H_
#define ATTEND_TESTS_BENCH_BACKWARD_SETUP_H_

#include <vector>

#include "server/compute/attention/backward.h"
#include "tests/bench/attention_setup.h"

namespace attend::bench {

// Gradients of query, key and value. REQUIRES: as many kv heads as heads, d_value = d.
class BackwardSetup {
 public:
  explicit BackwardSetup(const AttentionShape& shape);

  // As AttentionSetup's; for changes before the first run.
  compute::AttentionProblem<float>& problem() { return forward_.problem(); }
  // Gives the problem a bias [1, 1, n, m] that all heads share, and asks for its gradient.
  void ShareABias();

  // As a call without gradients runs it.
  void RunForward(runtime::ComputePool& pool) { forward_.Run(pool); }
  void PrepareBackward(runtime::ComputePool& pool);
  // REQUIRES: PrepareBackward before. (RunForward in between leaves a lse that is good enough to be timed with.)
  void RunBackward(runtime::ComputePool& pool);

 private:
  AttentionShape shape_;
  AttentionSetup forward_;
  std::vector<float> grad_output_, lse_, query_, key_, value_, bias_, bias_gradient_;
  runtime::BufferPool buffers_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_BACKWARD_SETUP_H_
