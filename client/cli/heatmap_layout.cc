#include "client/cli/heatmap_layout.h"

#include <algorithm>
#include <cmath>

namespace attend::cli {

namespace {

// As many as lines, nearly: two panels side by side, four in a square, six as three and three.
int PanelsPerLine(int count) {
  const int square = static_cast<int>(std::ceil(std::sqrt(count)));
  return std::clamp(square, 1, kMostPanelsPerLine);
}

}  // namespace

Layout MeasureLayout(const Heatmap& heatmap, const std::function<double(const std::string&, double)>& text_width) {
  double row_label = 0;
  for (const std::string& label : heatmap.rows) row_label = std::max(row_label, text_width(label, kLabelSize));
  double column_label = 0;
  for (const std::string& label : heatmap.columns) column_label = std::max(column_label, text_width(label, kLabelSize));
  Layout layout;
  layout.row_labels = kAxisTitle + row_label + kLabelGap;
  layout.column_labels = kLabelGap + (column_label + kLabelSize) * std::sin(kLabelAngle) + kAxisTitle;
  layout.panel_width = layout.row_labels + kCell * static_cast<double>(heatmap.columns.size());
  layout.panel_height = kPanelTitle + kCell * static_cast<double>(heatmap.rows.size()) + layout.column_labels;
  const auto count = static_cast<int>(heatmap.panels.size());
  const int across = PanelsPerLine(count);
  const int down = (count + across - 1) / across;
  layout.panels_per_line = across;
  const double panels = across * layout.panel_width + (across - 1) * kGap;
  const double heading = std::max(text_width(heatmap.title, kTitleSize), text_width(heatmap.subtitle, kSubtitleSize));
  layout.width = 2 * kMargin + std::max(panels + kBarGap + kBarWidth + kBarLabels, heading);
  layout.height = kMargin + kHeading + down * layout.panel_height + (down - 1) * kGap + kMargin;
  return layout;
}

double ScaleTop(const Heatmap& heatmap) {
  double largest = 0;
  for (const Heatmap::Panel& panel : heatmap.panels) {
    for (const double value : panel.values) {
      if (value > largest) largest = value;
    }
  }
  const double step = largest > 0.1 ? 0.1 : 0.01;
  // What the subtraction forgives is the rounding of the division.
  return largest > 0 ? std::min(1.0, std::ceil(largest / step - 1e-9) * step) : 1.0;
}

}  // namespace attend::cli
