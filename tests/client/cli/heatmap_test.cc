#include "client/cli/heatmap.h"

#include <cmath>
#include <set>

#include <cairo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/color_map.h"
#include "client/cli/token_label.h"

namespace attend::cli {
namespace {

Heatmap Small() {
  return {"title",    "subtitle",
          "from",     "to",
          "share",    {"one", "zwei", "três"},
          {"a", "b"}, {{"first", {0, 0.5, 0.25, 1, 0.75, 0.1}}, {"second", {1, 1, 1, 1, 1, 1}}},
          1};
}

struct Picture {
  int width = 0;
  int height = 0;
  std::set<uint32_t> colors;
};

// Decodes the PNG again.
Picture Decode(const std::string& png) {
  struct Source {
    const std::string& bytes;
    size_t position;
  } source{png, 0};
  const auto read = [](void* closure, unsigned char* data, unsigned int length) {
    auto& from = *static_cast<Source*>(closure);
    if (from.bytes.size() - from.position < length) return CAIRO_STATUS_READ_ERROR;
    from.bytes.copy(reinterpret_cast<char*>(data), length, from.position);
    from.position += length;
    return CAIRO_STATUS_SUCCESS;
  };
  cairo_surface_t* surface = cairo_image_surface_create_from_png_stream(read, &source);
  Picture picture{cairo_image_surface_get_width(surface), cairo_image_surface_get_height(surface), {}};
  const unsigned char* data = cairo_image_surface_get_data(surface);
  for (int y = 0; y < picture.height; ++y) {
    const auto* row = reinterpret_cast<const uint32_t*>(data + y * cairo_image_surface_get_stride(surface));
    for (int x = 0; x < picture.width; ++x) picture.colors.insert(row[x] & 0xffffff);
  }
  cairo_surface_destroy(surface);
  return picture;
}

TEST(Heatmap, IsAPictureWithManyColors) {
  const absl::StatusOr<std::string> png = DrawHeatmap(Small());
  ASSERT_TRUE(png.ok()) << png.status();
  const Picture picture = Decode(*png);
  EXPECT_GT(picture.width, 200);
  EXPECT_GT(picture.height, 150);
  EXPECT_GT(picture.colors.size(), 200u);  // cells, the bar's ramp, smoothed letters
  EXPECT_TRUE(picture.colors.contains(0xffffff));
}

TEST(Heatmap, ManyPanelsStandInLinesOfUpToFive) {
  const auto size_of = [](size_t panels) {
    Heatmap heatmap = Small();
    heatmap.title = heatmap.subtitle = "";  // nothing but panels makes the width
    heatmap.panels.resize(panels, heatmap.panels.front());
    return Decode(*DrawHeatmap(heatmap));
  };
  const Picture one = size_of(1), two = size_of(2);
  const int across = two.width - one.width;
  EXPECT_EQ(two.height, one.height);
  EXPECT_EQ(size_of(4).width, two.width);
  EXPECT_EQ(size_of(6).width, one.width + 2 * across);
  EXPECT_EQ(size_of(13).width, one.width + 3 * across);
  EXPECT_EQ(size_of(40).width, one.width + 4 * across);
  const int down = size_of(4).height - one.height;
  // Each picture's height is rounded up, and so was `down`.
  EXPECT_NEAR(size_of(13).height, one.height + 3 * down, 4);
  EXPECT_NEAR(size_of(40).height, one.height + 7 * down, 8);
}

TEST(TokenLabel, NamesLoneMarks) {
  EXPECT_EQ(TokenLabel("'"), "apostrophe");
  EXPECT_EQ(TokenLabel("."), "full stop");
  EXPECT_EQ(TokenLabel("#"), "\u2039#\u203a");
  EXPECT_EQ(TokenLabel("animal"), "animal");
  EXPECT_EQ(TokenLabel("a"), "a");
  EXPECT_EQ(TokenLabel("..."), "...");
  EXPECT_EQ(TokenLabel(""), "");
}

TEST(Heatmap, SameInputSamePicture) { EXPECT_EQ(*DrawHeatmap(Small()), *DrawHeatmap(Small())); }

TEST(Heatmap, ValuesChangeThePicture) {
  Heatmap other = Small();
  other.panels[0].values[0] = 0.9;
  EXPECT_NE(*DrawHeatmap(Small()), *DrawHeatmap(other));
}

TEST(Heatmap, SurvivesUnusualValues) {
  Heatmap heatmap = Small();
  heatmap.panels[0].values = {NAN, -1, 2, INFINITY, 0, 0};
  EXPECT_TRUE(DrawHeatmap(heatmap).ok());
  heatmap.panels = {{"zeros", {0, 0, 0, 0, 0, 0}}};
  EXPECT_TRUE(DrawHeatmap(heatmap).ok());
  heatmap.rows[0] = "\xff not UTF-8";
  EXPECT_EQ(DrawHeatmap(heatmap).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Heatmap, RefusesWhatDoesNotFitTogether) {
  Heatmap heatmap = Small();
  heatmap.panels[0].values.pop_back();
  EXPECT_FALSE(DrawHeatmap(heatmap).ok());
  heatmap = Small();
  heatmap.marked_row = 3;
  EXPECT_FALSE(DrawHeatmap(heatmap).ok());
  EXPECT_FALSE(DrawHeatmap({}).ok());
  heatmap = Small();
  heatmap.rows.assign(100'000, "row");
  heatmap.panels = {{"long", std::vector<double>(200'000, 0.5)}};
  EXPECT_EQ(DrawHeatmap(heatmap).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(ColorMap, DarkensEvenlyAndStaysInTheGamut) {
  double previous = ColorAt(0).lightness;
  const double step = (ColorAt(0).lightness - ColorAt(1).lightness) / 100;
  for (int i = 1; i <= 100; ++i) {
    const Color color = ColorAt(i / 100.0);
    EXPECT_NEAR(previous - color.lightness, step, 1e-12);
    previous = color.lightness;
    for (const double channel : {color.red, color.green, color.blue}) {
      EXPECT_GT(channel, 0) << i;  // 0 and 1 would be clipped: not the colour that was meant
      EXPECT_LT(channel, 1) << i;
    }
  }
}

}  // namespace
}  // namespace attend::cli
