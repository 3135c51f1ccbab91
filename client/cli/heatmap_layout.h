// Where the parts of a heatmap's picture stand. Pure functions, thread-safe; knows nothing of how it is drawn.
#ifndef ATTEND_CLIENT_CLI_HEATMAP_LAYOUT_H_
#define ATTEND_CLIENT_CLI_HEATMAP_LAYOUT_H_

#include <functional>
#include <numbers>
#include <string>

#include "client/cli/heatmap.h"

namespace attend::cli {

// All lengths in pixels.
inline constexpr double kCell = 36;
inline constexpr double kMargin = 28;
inline constexpr double kGap = 34;      // between panels
inline constexpr double kHeading = 92;  // title and subtitle
inline constexpr double kPanelTitle = 34;
inline constexpr double kAxisTitle = 26;
inline constexpr double kLabelGap = 8;  // between a label and its cell
inline constexpr double kBarGap = 36;
inline constexpr double kBarWidth = 20;
inline constexpr double kBarLabels = 92;
inline constexpr double kLabelAngle = std::numbers::pi / 4;
inline constexpr double kTitleSize = 29;
inline constexpr double kSubtitleSize = 19;
inline constexpr double kPanelTitleSize = 20;
inline constexpr double kLabelSize = 19;
inline constexpr double kAxisSize = 16;
inline constexpr double kNumberSize = 14;
inline constexpr double kNumbersFrom = 0.10;  // smaller shares stay without a number
inline constexpr int kMostPanelsPerLine = 5;
inline constexpr double kMaxSide = 16000;

struct Layout {
  int panels_per_line;
  double row_labels;     // width of the row labels
  double column_labels;  // height of the slanted column labels
  double panel_width;    // with its labels
  double panel_height;
  double width;
  double height;
};

// `text_width` measures a text at a font size.
Layout MeasureLayout(const Heatmap& heatmap, const std::function<double(const std::string&, double)>& text_width);

// The value of the darkest colour: the largest value, rounded up to the next tenth (or hundredth, where all are small),
// so that the scale ends with a round number. In (0, 1].
double ScaleTop(const Heatmap& heatmap);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_HEATMAP_LAYOUT_H_
