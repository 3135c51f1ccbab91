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
  // The block at a place of a diagonal, of the pairs [n, m] of head = batch * kv_heads + kv_head.
  PairBlock Block(int64_t head, int64_t kv_heads, int64_t n, int64_t m, int64_t place, int64_t diagonal) const {
    const int64_t other = (place + diagonal) % diagonals();
    const int64_t row = rows <= cols ? place : other;
    const int64_t col = rows <= cols ? other : place;
    PairBlock block{head / kv_heads, head % kv_heads, row * queries, 0, col * keys, 0};
    block.queries = std::min(queries, n - block.query);
    block.keys = std::min(keys, m - block.key);
    return block;
  }
  int64_t diagonals() const { return std::max(rows, cols); }
};

// How many heads run at the same time.
int64_t HeadsAtOnce(const KvHeadRange& range, const Grid& grid) {
  return range.share_pairs ? std::min(range.count, grid.diagonals()) : range.count;
}

Grid GridFor(const KvHeadRange& range, int64_t n, int64_t m) {
  Grid grid;
  for (;;) {
    grid.rows = CeilDivide(n, grid.queries);
    grid.cols = CeilDivide(m, grid.keys);
    if (grid.queries == kLeastBlockQueries || HeadsAtOnce(range, grid) * grid.together() >= kBlocksAtOnce) return grid;
    grid.queries /= 2;
    grid.keys /= 2;
  }
}

static_assert(kBlockQueries / kLeastBlockQueries == kBlockKeys / kLeastBlockKeys, "both are halved together");

}  // namespace

absl::Status ForEachPairBlock(runtime::Executor& executor, const KvHeadRange& range, int64_t kv_heads, int64_t n,
                              int64_t m, double pair_flops,
                              absl::FunctionRef<absl::Status(const PairBlock& block, int worker)> run) {
  const Grid grid = GridFor(range, n, m);
  const int64_t together = grid.together();
  const int64_t steps = together == 0 ? 0 : grid.diagonals();
  const int64_t at_once = std::max<int64_t>(HeadsAtOnce(range, grid), 1);
  const double block_flops =
      pair_flops * static_cast<double>(std::min(n, grid.queries)) * static_cast<double>(std::min(m, grid.keys));
  for (int64_t turn = 0; turn < steps * CeilDivide(range.count, at_once); ++turn) {
    const int64_t first = turn / steps * at_once;
    const int64_t heads = std::min(at_once, range.count - first);
    const auto run_block = [&](int64_t index, int worker) {
      const int64_t head = index / together;
      const int64_t diagonal = (turn + (range.share_pairs ? head : 0)) % steps;
      return run(grid.Block(range.first + first + head, kv_heads, n, m, index % together, diagonal), worker);
    };
    if (absl::Status done = executor.ForEachTile(heads * together, block_flops, run_block); !done.ok()) return done;
  }
  return absl::OkStatus();
}

}  // namespace attend::compute
