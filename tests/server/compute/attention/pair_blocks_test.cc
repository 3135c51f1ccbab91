#include "server/compute/attention/pair_blocks.h"

#include <gtest/gtest.h>

#include <vector>

namespace attend::compute {
namespace {

// Runs the tiles of each ForEachTile as one step, and remembers which step a block was in.
class StepExecutor final : public runtime::Executor {
 public:
  absl::Status ForEachTile(int64_t tiles, double, absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    ++step;
    for (int64_t index = 0; index < tiles; ++index) {
      if (absl::Status done = tile(index, 0); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  int max_workers() const override { return 1; }
  const runtime::Cancellation& cancellation() const override { return cancellation_; }

  int step = 0;

 private:
  const runtime::Cancellation cancellation_;
};

bool Overlap(int64_t a, int64_t a_count, int64_t b, int64_t b_count) { return a < b + b_count && b < a + a_count; }

TEST(PairBlocks, CoverEveryPairOnceAndShareNothingWithinAStep) {
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{1, 1},      {129, 300},   {513, 1025}, {2000, 700},
                                                          {700, 5000}, {5000, 1100}, {0, 5},      {5, 0}};
  for (const auto& [n, m] : sizes) {
    for (const int64_t heads : {1, 3, 8}) {
      StepExecutor executor;
      std::vector<std::pair<int, PairBlock>> seen;
      int64_t pairs = 0;
      ASSERT_TRUE(ForEachPairBlock(executor, {2, heads}, 2, n, m, 1, [&](const PairBlock& block, int) {
                    for (const auto& [step, other] : seen) {
                      if (other.batch != block.batch || other.kv_head != block.kv_head) continue;
                      const bool queries = Overlap(block.query, block.queries, other.query, other.queries);
                      const bool keys = Overlap(block.key, block.keys, other.key, other.keys);
                      EXPECT_FALSE(queries && keys) << "a pair twice";
                      if (step == executor.step) {
                        EXPECT_FALSE(queries || keys) << "a row shared within a step";
                      }
                    }
                    seen.emplace_back(executor.step, block);
                    pairs += block.queries * block.keys;
                    EXPECT_GE(block.batch * 2 + block.kv_head, 2);
                    return absl::OkStatus();
                  }).ok());
      EXPECT_EQ(pairs, heads * n * m) << n << " x " << m << ", " << heads << " heads";
    }
  }
}

TEST(PairBlocks, HeadsThatSharePairsMeetThemAtDifferentTimes) {
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{1, 1}, {129, 300}, {2000, 700}, {700, 5000}, {0, 5}};
  for (const auto& [n, m] : sizes) {
    for (const int64_t heads : {1, 3, 8, 40}) {
      StepExecutor executor;
      std::vector<std::pair<int, PairBlock>> seen;
      int64_t pairs = 0;
      const auto run = [&](const PairBlock& block, int) {
        for (const auto& [step, other] : seen) {
          const bool queries = Overlap(block.query, block.queries, other.query, other.queries);
          const bool keys = Overlap(block.key, block.keys, other.key, other.keys);
          const bool same_head = other.batch == block.batch && other.kv_head == block.kv_head;
          EXPECT_FALSE(queries && keys && (same_head || step == executor.step)) << "a pair at once, or twice";
          EXPECT_FALSE((queries || keys) && same_head && step == executor.step) << "a row shared within a step";
        }
        seen.emplace_back(executor.step, block);
        pairs += block.queries * block.keys;
        return absl::OkStatus();
      };
      ASSERT_TRUE(ForEachPairBlock(executor, {0, heads, true}, 4, n, m, 1, run).ok());
      EXPECT_EQ(pairs, heads * n * m) << n << " x " << m << ", " << heads << " heads";
    }
  }
}

// Eight heads with a matrix of pairs of their own take two steps; sharing one, the same work in few more.
TEST(PairBlocks, HeadsThatSharePairsStillRunTogether) {
  StepExecutor executor;
  int blocks = 0;
  const auto count = [&](const PairBlock&, int) {
    ++blocks;
    return absl::OkStatus();
  };
  ASSERT_TRUE(ForEachPairBlock(executor, {0, 8, true}, 8, 1024, 1024, 1, count).ok());
  EXPECT_EQ(executor.step, 8);
  EXPECT_EQ(blocks, 8 * 8);
}

TEST(PairBlocks, FewHeadsAreCutSmaller) {
  StepExecutor executor;
  int blocks = 0;
  const auto count = [&](const PairBlock&, int) {
    ++blocks;
    return absl::OkStatus();
  };
  ASSERT_TRUE(ForEachPairBlock(executor, {0, 1}, 1, 1024, 1024, 1, count).ok());
  EXPECT_EQ(blocks, 8 * 4);
  blocks = 0;
  ASSERT_TRUE(ForEachPairBlock(executor, {0, 8}, 8, 1024, 1024, 1, count).ok());
  EXPECT_EQ(blocks, 8 * 2);
}

TEST(PairBlocks, StopAtTheFirstError) {
  StepExecutor executor;
  const absl::Status done = ForEachPairBlock(executor, {0, 1}, 1, 5000, 5000, 1,
                                             [&](const PairBlock&, int) { return absl::OutOfRangeError("too much"); });
  EXPECT_EQ(done.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(executor.step, 1);
}

}  // namespace
}  // namespace attend::compute
