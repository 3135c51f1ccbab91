// Attention problems of random values with their memory, for benchmarks.
#ifndef ATTEND_TESTS_BENCH_ATTENTION_SETUP_H_
#define ATTEND_TESTS_BENCH_ATTENTION_SETUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/compute_pool.h"

namespace attend::bench {

std::vector<float> RandomValues(size_t count, uint32_t seed);

struct AttentionShape {
  int64_t batch = 1;
  int64_t heads = 8;
  int64_t n = 0;
  int64_t m = 0;
  int64_t d = 64;
  int64_t kv_heads = 0;  // 0: heads

  std::string Name() const;  // "1x8x1024x64"
};

// Owns query, key, value and output of one problem.
class AttentionSetup {
 public:
  explicit AttentionSetup(AttentionShape shape);

  compute::AttentionProblem<float>& problem() { return problem_; }
  compute::AttentionResult<float>& result() { return result_; }
  size_t bytes() const;  // of the four tensors

  // Computes once, as a call of `pool`; the seconds from its first instruction to its last. Aborts on failure.
  double Run(runtime::ComputePool& pool);

 private:
  runtime::BufferPool buffers_;
  runtime::Buffer query_, key_, value_, output_;  // where a server's tensors lie
  compute::AttentionProblem<float> problem_;
  compute::AttentionResult<float> result_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_ATTENTION_SETUP_H_
