#include "client/cli/demo_report.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/street.h"

namespace attend::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kStreet[] = ATTEND_SOURCE_DIR "/examples/street";

// What the demo would show if the server answered exactly what TensorFlow.js did.
DemoResult PerfectResult() {
  const Street street = LoadStreet(kStreet).value();
  DemoResult result;
  result.sentence = street.sentence;
  for (const std::string& token : street.tokens) result.tokens.push_back(PlainToken(token));
  result.heads = Street::kHeads;
  result.weights.assign(street.weights.begin(), street.weights.end());
  result.action.resize(Street::kHeads);
  return result;
}

TEST(Street, ReadsTheExample) {
  const absl::StatusOr<Street> street = LoadStreet(kStreet);
  ASSERT_TRUE(street.ok()) << street.status();
  EXPECT_EQ(street->tokens.size(), 14u);
  EXPECT_EQ(street->layer.w_k().shape(1), 256);
  EXPECT_EQ(street->layer.num_heads(), 4u);
}

TEST(Street, NamesTheFolderThatHasNoExample) {
  EXPECT_THAT(std::string(FindStreetFolder("/nowhere/at-all").status().message()), HasSubstr("/nowhere/at-all"));
  EXPECT_EQ(*FindStreetFolder(kStreet), kStreet);
}

TEST(Street, CutsColumns) {
  const std::vector<float> matrix = {1, 2, 3, 4, 5, 6};
  EXPECT_THAT(Columns(matrix, 3, 1, 3), ::testing::ElementsAre(2, 3, 5, 6));
}

TEST(DemoAttention, ShowsWhatEachTokenLooksAt) {
  const std::string table = DemoAttention(PerfectResult());
  EXPECT_THAT(table, HasSubstr("\nit       was 30%      because 27%  it 25%       because 33%  it 53%"));
  EXPECT_THAT(table, Not(HasSubstr("▁")));
}

TEST(DemoComparison, JudgesByTheBounds) {
  DemoResult result = PerfectResult();
  result.weights_error = kWeightsBound;
  EXPECT_TRUE(result.weights_ok());
  result.output_error = 2 * kOutputBound;
  EXPECT_FALSE(result.output_ok());
  EXPECT_THAT(DemoComparison(result), HasSubstr("TOO FAR"));
  result.output_error = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(result.output_ok());
  EXPECT_EQ(DemoJson(result)["ok"], false);
}

TEST(DemoHeatmap, HasOnePanelPerHeadAndMarksThePronoun) {
  const Heatmap heatmap = DemoHeatmap(PerfectResult());
  ASSERT_EQ(heatmap.panels.size(), 4u);
  EXPECT_EQ(heatmap.marked_row, 9u);
  EXPECT_EQ(heatmap.panels[2].title, "Head 3: “it” looks at “was”");
  const absl::StatusOr<std::string> png = DrawHeatmap(heatmap);
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_THAT(*png, StartsWith("\x89PNG\r\n"));
}

}  // namespace
}  // namespace attend::cli
