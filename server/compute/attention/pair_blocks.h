// How the pairs (query, key) of all heads are shared out to workers when sums run both ways: over keys into the
// gradients of queries, and over queries into those of keys. Thread-safe.
//
// The pairs of a head are cut into blocks. Blocks that run at the same time share neither a query nor a key (the
// diagonals of a Latin square follow one another), so that each may add to the gradients of both without locks, and
// every sum runs in an order that the shapes alone decide. Heads that add to one matrix of pairs, as to the gradient of
// a bias that they share, are on different diagonals at any time.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PAIR_BLOCKS_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PAIR_BLOCKS_H_

#include <algorithm>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The queries [query, query + queries) of all heads that read one kv head, and its keys [key, key + keys).
struct PairBlock {
  int64_t batch = 0;
  int64_t kv_head = 0;
  int64_t query = 0;
  int64_t queries = 0;
  int64_t key = 0;
  int64_t keys = 0;
};

// The largest block is a few milliseconds of work: short enough to poll and to interleave, long enough not to count as
// overhead. The smallest is still a tile or two.
inline constexpr int64_t kBlockQueries = 512;
inline constexpr int64_t kBlockKeys = 1024;
inline constexpr int64_t kLeastBlockQueries = 128;
inline constexpr int64_t kLeastBlockKeys = 256;

// The kv heads [first, first + count) of all batches and heads, in the order batch * kv_heads + kv_head.
struct KvHeadRange {
  int64_t first = 0;
  int64_t count = 0;
  bool share_pairs = false;  // whether blocks that run at the same time also share no pair (query, key) across heads
};

// Calls run(block, worker) once for each block of the pairs [n, m] of these kv heads. `block_flops` is of a whole
// block. Returns the executor's errors and the first of run's.
absl::Status ForEachPairBlock(runtime::Executor& executor, const KvHeadRange& range, int64_t kv_heads, int64_t n,
                              int64_t m, double pair_flops,
                              absl::FunctionRef<absl::Status(const PairBlock& block, int worker)> run);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PAIR_BLOCKS_H_
