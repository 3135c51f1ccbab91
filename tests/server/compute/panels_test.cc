#include "server/compute/panels.h"

#include <gtest/gtest.h>

#include <vector>

namespace attend::compute {
namespace {

TEST(Panels, CoverEveryRowOnce) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (int64_t count : {0, 1, 63, 64, 65, 1000}) {
    for (int64_t entries : {int64_t{1}, int64_t{4096}, kPanelEntries, 2 * kPanelEntries}) {
      std::vector<int> seen(static_cast<size_t>(count));
      const auto work = [&](int64_t begin, int64_t end) {
        ASSERT_LT(begin, end);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      };
      EXPECT_TRUE(ForEachPanel(executor, count, entries, work).ok());
      EXPECT_TRUE(ForEachPanelInOrder(executor, count, entries, work).ok());
      EXPECT_TRUE(ForEachBand(executor, entries, count, work).ok());
      EXPECT_EQ(seen, std::vector<int>(static_cast<size_t>(count), 3)) << count << " of " << entries;
    }
  }
}

TEST(Panels, StopBetweenTwoWhenCancelled) {
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const auto count_until_cancelled = [&](const auto& sweep) {
    int panels = 0;
    const absl::Status done = sweep([&](int64_t, int64_t) {
      if (++panels == 1) cancellation.Cancel();
    });
    EXPECT_EQ(done.code(), absl::StatusCode::kCancelled);
    return panels;
  };
  EXPECT_EQ(count_until_cancelled([&](const auto& work) { return ForEachPanel(executor, 9, kPanelEntries, work); }), 1);
  EXPECT_EQ(
      count_until_cancelled([&](const auto& work) { return ForEachPanelInOrder(executor, 9, kPanelEntries, work); }),
      0);
}

}  // namespace
}  // namespace attend::compute
