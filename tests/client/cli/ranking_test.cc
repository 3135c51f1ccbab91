#include "client/cli/ranking.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attend::cli {
namespace {

using ::testing::ElementsAre;

std::vector<size_t> Keys(const std::vector<Attended>& top) {
  std::vector<size_t> keys;
  for (const Attended& attended : top) keys.push_back(attended.key);
  return keys;
}

TEST(TopKeys, LargestFirstAndTheEarlierOfEqualOnes) {
  const std::vector<double> row = {0.1, 0.4, 0.1, 0.3, 0.1};
  EXPECT_THAT(Keys(TopKeys(row, 3)), ElementsAre(1, 3, 0));
  EXPECT_EQ(TopKeys(row, 1)[0].weight, 0.4);
  EXPECT_EQ(TopKeys(row, 9).size(), 5u);
  EXPECT_TRUE(TopKeys({}, 3).empty());
}

TEST(MeanOverHeads, AveragesElementwise) {
  EXPECT_THAT(MeanOverHeads(std::vector<double>{1, 2, 3, 4}, 2), ElementsAre(2, 3));
}

TEST(LargestDifference, FindsTheWorstElement) {
  EXPECT_EQ(LargestDifference(std::vector<double>{1, 2, 3}, std::vector<double>{1, 0, 3.5}), 2);
  EXPECT_EQ(LargestDifference({}, {}), 0);
}

TEST(LargestDifference, NothingHidesBehindNanOrAnotherLength) {
  EXPECT_TRUE(std::isinf(LargestDifference(std::vector<double>{1, NAN}, std::vector<double>{1, 1})));
  EXPECT_TRUE(std::isinf(LargestDifference(std::vector<double>{1}, std::vector<double>{1, 1})));
}

TEST(CompareRows, MeasuresEachHeadByItself) {
  // Two heads of two rows: the first head equal, the second with its first row moved by a quarter and 0.5 too much in
  // the second.
  const std::vector<double> a = {0.5, 0.5, 1, 0, 0.5, 0.5, 1, 0};
  const std::vector<double> b = {0.5, 0.5, 1, 0, 0.25, 0.75, 1, 0.5};
  const std::vector<RowDistance> distances = CompareRows(a, b, 2, 2);
  ASSERT_EQ(distances.size(), 2u);
  EXPECT_EQ(distances[0].max_total_variation, 0);
  EXPECT_EQ(distances[0].max_row_sum_error, 0);
  EXPECT_EQ(distances[1].mean_total_variation, 0.25);
  EXPECT_EQ(distances[1].max_total_variation, 0.25);
  EXPECT_EQ(distances[1].max_row_sum_error, 0.5);
}

TEST(PlainToken, LosesOnlyTheMarkAtItsBegin) {
  EXPECT_EQ(PlainToken("▁animal"), "animal");
  EXPECT_EQ(PlainToken("'"), "'");
  EXPECT_EQ(PlainToken("▁"), "▁");
  EXPECT_EQ(PlainToken(""), "");
}

}  // namespace
}  // namespace attend::cli
