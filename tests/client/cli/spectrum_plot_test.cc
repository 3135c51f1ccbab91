#include "client/cli/spectrum_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attend::cli {
namespace {

TEST(SpectrumPlot, DrawsAPng) {
  SpectrumPlot plot;
  plot.title = "title";
  plot.names = {"a", "b", "c", "d", "e", "f"};
  plot.discs = {{"one", {{1, {0, 0.5}}, {}, {{-2, 0}}, {0}, {0.5}, {0.25}}}, {"two", {}}};
  const absl::StatusOr<std::string> png = DrawSpectrum(plot);
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_THAT(*png, ::testing::StartsWith("\x89PNG"));
  EXPECT_EQ(*DrawSpectrum(plot), *png);
}

TEST(SpectrumPlot, RefusesWhatItCannotTellApart) {
  SpectrumPlot plot;
  EXPECT_TRUE(absl::IsInvalidArgument(DrawSpectrum(plot).status()));
  plot.names.resize(7);
  plot.discs = {{"", {}}};
  EXPECT_TRUE(absl::IsInvalidArgument(DrawSpectrum(plot).status()));
  plot.names.resize(1);
  plot.discs = {{"", {{1}, {1}}}};
  EXPECT_TRUE(absl::IsInvalidArgument(DrawSpectrum(plot).status()));
}

}  // namespace
}  // namespace attend::cli
