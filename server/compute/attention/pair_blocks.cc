#include "server/compute/attention/pair_blocks.h"

namespace attend::compute {
namespace {

int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many blocks should run at the same time, where the shape allows it.
constexpr int64_t kBlocksAtOnce = 8;

// The blocks of a head: rows and columns of them, and how many pairs each has.
struct Grid {
  int64_t queries = kBlockQueries;
  int64_t keys = kBlockKeys;
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t together() const { return std::min(rows, cols); }
};

Grid GridFor(int64_t heads, int64_t n, int64_t m) {
  Grid grid;
  for (;;) {
    grid.rows = CeilDivide(n, grid.queries);
    grid.cols = CeilDivide(m, grid.keys);
    if (grid.queries == kLeastBlockQueries || heads * grid.together() >= kBlocksAtOnce) return grid;
    grid.queries /= 2;
    grid.keys /= 2;
  }
}

static_assert(kBlockQueries / kLeastBlockQueries == kBlockKeys / kLeastBlockKeys, "both are halved together");

}  // namespace

absl::Status ForEachPairBlock(runtime::Executor& executor, const KvHeadRange& range, int64_t kv_heads, int64_t n,
                              int64_t m, double pair_flops,
                              absl::FunctionRef<absl::Status(const PairBlock& block, int worker)> run) {
  const Grid grid = GridFor(range.count, n, m);
  const int64_t together = grid.together();
  const int64_t steps = together == 0 ? 0 : std::max(grid.rows, grid.cols);
  const double block_flops =
      pair_flops * static_cast<double>(std::min(n, grid.queries)) * static_cast<double>(std::min(m, grid.keys));
  for (int64_t step = 0; step < steps; ++step) {
    const auto run_block = [&](int64_t index, int worker) {
      const int64_t head = range.first + index / together;
      const int64_t place = index % together;
      const bool wide = grid.rows <= grid.cols;
      const int64_t row = wide ? place : (place + step) % grid.rows;
      const int64_t col = wide ? (place + step) % grid.cols : place;
      PairBlock block{head / kv_heads, head % kv_heads, row * grid.queries, 0, col * grid.keys, 0};
      block.queries = std::min(grid.queries, n - block.query);
      block.keys = std::min(grid.keys, m - block.key);
      return run(block, worker);
    };
    if (absl::Status done = executor.ForEachTile(range.count * together, block_flops, run_block); !done.ok()) {
      return done;
    }
  }
  return absl::OkStatus();
}

}  // namespace attend::compute
