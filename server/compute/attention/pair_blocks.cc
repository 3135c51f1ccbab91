#include "server/compute/attention/pair_blocks.h"

namespace attend::compute {
namespace {

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

absl::Status ForEachPairBlock(runtime::Executor& executor, const KvHeadRange& range, int64_t kv_heads, int64_t n,
                              int64_t m, double block_flops,
                              absl::FunctionRef<absl::Status(const PairBlock& block, int worker)> run) {
  const int64_t rows = CeilDivide(n, kBlockQueries);
  const int64_t cols = CeilDivide(m, kBlockKeys);
  const int64_t together = std::min(rows, cols);
  const int64_t steps = together == 0 ? 0 : std::max(rows, cols);
  for (int64_t step = 0; step < steps; ++step) {
    const auto run_block = [&](int64_t index, int worker) {
      const int64_t head = range.first + index / together;
      const int64_t place = index % together;
      const int64_t row = rows <= cols ? place : (place + step) % rows;
      const int64_t col = rows <= cols ? (place + step) % cols : place;
      PairBlock block{head / kv_heads, head % kv_heads, row * kBlockQueries, 0, col * kBlockKeys, 0};
      block.queries = std::min(kBlockQueries, n - block.query);
      block.keys = std::min(kBlockKeys, m - block.key);
      return run(block, worker);
    };
    if (absl::Status done = executor.ForEachTile(range.count * together, block_flops, run_block); !done.ok()) {
      return done;
    }
  }
  return absl::OkStatus();
}

}  // namespace attend::compute
