#include "client/cli/heatmap.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

#include <cairo.h>
#include <fmt/format.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cli/color_map.h"
#include "client/cli/heatmap_layout.h"

namespace attend::cli {
namespace {

struct SurfaceDeleter {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
};
struct ContextDeleter {
  void operator()(cairo_t* context) const { cairo_destroy(context); }
};

enum class Align { kLeft, kCenter, kRight };

struct Ink {
  double red, green, blue;
};
constexpr Ink kBlack{0.10, 0.10, 0.13};
constexpr Ink kGray{0.40, 0.40, 0.45};
constexpr Ink kWhite{1, 1, 1};
constexpr Ink kMark{0.88, 0.16, 0.14};

struct TextStyle {
  double size;
  Ink ink = kBlack;
  Align align = Align::kLeft;
  cairo_font_weight_t weight = CAIRO_FONT_WEIGHT_NORMAL;
  double angle = 0;  // radians, counterclockwise
};

class Painter {
 public:
  Painter(cairo_t* cairo, const Heatmap& heatmap) : cairo_(cairo), map_(heatmap), top_(ScaleTop(heatmap)) {}

  void Paint(const Layout& layout) const;

 private:
  void Text(const std::string& text, double x, double y, const TextStyle& style) const;
  void Fill(double x, double y, double width, double height, const Color& color) const;
  void PaintPanel(const Heatmap::Panel& panel, const Layout& layout, double left, double top) const;
  void PaintCells(const Heatmap::Panel& panel, double left, double top) const;
  void PaintLabels(const Layout& layout, double left, double top) const;
  void PaintMark(const Heatmap::Panel& panel, double left, double top) const;
  void PaintColorBar(double left, double top, double height) const;

  double cells_width() const { return kCell * static_cast<double>(map_.columns.size()); }
  double cells_height() const { return kCell * static_cast<double>(map_.rows.size()); }

  cairo_t* const cairo_;
  const Heatmap& map_;
  const double top_;  // the value of the darkest colour
};

void SetInk(cairo_t* cairo, const Ink& ink) { cairo_set_source_rgb(cairo, ink.red, ink.green, ink.blue); }

void SetFont(cairo_t* cairo, double size, cairo_font_weight_t weight) {
  cairo_select_font_face(cairo, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, weight);
  cairo_set_font_size(cairo, size);
}

// (x, y) is the middle of the text's x-height at its left end, center or right end.
void Painter::Text(const std::string& text, double x, double y, const TextStyle& style) const {
  cairo_save(cairo_);
  SetFont(cairo_, style.size, style.weight);
  SetInk(cairo_, style.ink);
  cairo_text_extents_t extents;
  cairo_text_extents(cairo_, text.c_str(), &extents);
  const double share = style.align == Align::kLeft ? 0 : style.align == Align::kCenter ? 0.5 : 1;
  cairo_translate(cairo_, x, y);
  cairo_rotate(cairo_, -style.angle);
  cairo_move_to(cairo_, -share * extents.x_advance, 0.36 * style.size);
  cairo_show_text(cairo_, text.c_str());
  cairo_restore(cairo_);
}

void Painter::Fill(double x, double y, double width, double height, const Color& color) const {
  cairo_set_source_rgb(cairo_, color.red, color.green, color.blue);
  cairo_rectangle(cairo_, x, y, width, height);
  cairo_fill(cairo_);
}

void Painter::Paint(const Layout& layout) const {
  SetInk(cairo_, kWhite);
  cairo_paint(cairo_);
  Text(map_.title, kMargin, kMargin + 14, {kTitleSize, kBlack, Align::kLeft, CAIRO_FONT_WEIGHT_BOLD});
  Text(map_.subtitle, kMargin, kMargin + 50, {kSubtitleSize, kGray});
  const double top = kMargin + kHeading;
  const auto per_line = static_cast<size_t>(layout.panels_per_line);
  for (size_t i = 0; i < map_.panels.size(); ++i) {
    const auto across = static_cast<double>(i % per_line);
    const auto down = static_cast<double>(i / per_line);
    PaintPanel(map_.panels[i], layout, kMargin + across * (layout.panel_width + kGap),
               top + down * (layout.panel_height + kGap));
  }
  const double bar_top = top + kPanelTitle;
  const double bar_bottom = layout.height - kMargin - layout.column_labels;
  PaintColorBar(layout.width - kMargin - kBarLabels - kBarWidth, bar_top, bar_bottom - bar_top);
}

void Painter::PaintPanel(const Heatmap::Panel& panel, const Layout& layout, double left, double top) const {
  const double cells_left = left + layout.row_labels;
  const double cells_top = top + kPanelTitle;
  Text(panel.title, cells_left, top + kPanelTitle / 2 - 3,
       {kPanelTitleSize, kBlack, Align::kLeft, CAIRO_FONT_WEIGHT_BOLD});
  PaintCells(panel, cells_left, cells_top);
  PaintLabels(layout, cells_left, cells_top);
  PaintMark(panel, cells_left, cells_top);
  Text(map_.row_axis, left + kAxisSize / 2, cells_top + cells_height() / 2,
       {kAxisSize, kGray, Align::kCenter, CAIRO_FONT_WEIGHT_NORMAL, std::numbers::pi / 2});
  Text(map_.column_axis, cells_left + cells_width() / 2, top + layout.panel_height - kAxisSize / 2,
       {kAxisSize, kGray, Align::kCenter});
}

void Painter::PaintCells(const Heatmap::Panel& panel, double left, double top) const {
  for (size_t i = 0; i < panel.values.size(); ++i) {
    const double x = left + kCell * static_cast<double>(i % map_.columns.size());
    const double y = top + kCell * static_cast<double>(i / map_.columns.size());
    const Color color = ColorAt(panel.values[i] / top_);
    // One pixel of white between the cells.
    Fill(x + 0.5, y + 0.5, kCell - 1, kCell - 1, color);
    if (panel.values[i] < kNumbersFrom) continue;
    const Ink ink = color.lightness > 0.62 ? kBlack : kWhite;
    Text(fmt::format("{:.0f}", 100 * panel.values[i]), x + kCell / 2, y + kCell / 2,
         {kNumberSize, ink, Align::kCenter});
  }
}

void Painter::PaintLabels(const Layout& layout, double left, double top) const {
  for (size_t row = 0; row < map_.rows.size(); ++row) {
    TextStyle style{kLabelSize, kBlack, Align::kRight};
    if (map_.marked_row == row) style.ink = kMark, style.weight = CAIRO_FONT_WEIGHT_BOLD;
    Text(map_.rows[row], left - kLabelGap, top + kCell * (static_cast<double>(row) + 0.5), style);
  }
  for (size_t column = 0; column < map_.columns.size(); ++column) {
    Text(map_.columns[column], left + kCell * (static_cast<double>(column) + 0.5) + kLabelSize / 4,
         top + cells_height() + kLabelGap + kLabelSize / 2,
         {kLabelSize, kBlack, Align::kRight, CAIRO_FONT_WEIGHT_NORMAL, kLabelAngle});
  }
}

void Painter::PaintMark(const Heatmap::Panel& panel, double left, double top) const {
  if (!map_.marked_row.has_value()) return;
  const size_t columns = map_.columns.size();
  const auto row = panel.values.begin() + static_cast<std::ptrdiff_t>(*map_.marked_row * columns);
  const auto largest = static_cast<double>(std::max_element(row, row + static_cast<std::ptrdiff_t>(columns)) - row);
  const double y = top + kCell * static_cast<double>(*map_.marked_row);
  SetInk(cairo_, kMark);
  cairo_set_line_width(cairo_, 2);
  cairo_rectangle(cairo_, left - 0.5, y - 0.5, cells_width() + 1, kCell + 1);
  cairo_stroke(cairo_);
  // The white halo keeps the ring visible on dark cells.
  cairo_arc(cairo_, left + kCell * (largest + 0.5), y + kCell / 2, kCell / 2 - 2, 0, 2 * std::numbers::pi);
  SetInk(cairo_, kWhite);
  cairo_set_line_width(cairo_, 5);
  cairo_stroke_preserve(cairo_);
  SetInk(cairo_, kMark);
  cairo_set_line_width(cairo_, 3);
  cairo_stroke(cairo_);
}

void Painter::PaintColorBar(double left, double top, double height) const {
  const int steps = static_cast<int>(height);
  for (int step = 0; step < steps; ++step) {
    const double share = (step + 0.5) / steps;
    Fill(left, top + height * (1 - share) - 0.5 * height / steps, kBarWidth, height / steps + 1, ColorAt(share));
  }
  SetInk(cairo_, kGray);
  cairo_set_line_width(cairo_, 1);
  cairo_rectangle(cairo_, left - 0.5, top - 0.5, kBarWidth + 1, height + 1);
  cairo_stroke(cairo_);
  const double tick = top_ > 0.5 ? 0.1 : top_ > 0.1 ? 0.05 : 0.01;
  const int ticks = static_cast<int>(std::lround(top_ / tick));
  for (int i = 0; i <= ticks; ++i) {
    const double y = top + height * (1 - static_cast<double>(i) / ticks);
    SetInk(cairo_, kGray);
    cairo_rectangle(cairo_, left + kBarWidth, y - 0.5, 5, 1);
    cairo_fill(cairo_);
    Text(fmt::format("{:.0f}%", 100 * top_ * i / ticks), left + kBarWidth + 9, y, {kLabelSize - 2});
  }
  Text(map_.value_axis, left + kBarWidth + kBarLabels - kAxisSize, top + height / 2,
       {kAxisSize, kGray, Align::kCenter, CAIRO_FONT_WEIGHT_NORMAL, std::numbers::pi / 2});
}

absl::Status Check(const Heatmap& heatmap) {
  if (heatmap.panels.empty() || heatmap.rows.empty() || heatmap.columns.empty()) {
    return absl::InvalidArgumentError("the heatmap has nothing to draw");
  }
  for (const Heatmap::Panel& panel : heatmap.panels) {
    if (panel.values.size() == heatmap.rows.size() * heatmap.columns.size()) continue;
    return absl::InvalidArgumentError(absl::StrCat("panel ", panel.title, " has ", panel.values.size(),
                                                   " values, expected ", heatmap.rows.size(), " x ",
                                                   heatmap.columns.size()));
  }
  if (heatmap.marked_row.has_value() && *heatmap.marked_row >= heatmap.rows.size()) {
    return absl::InvalidArgumentError("the marked row is not there");
  }
  return absl::OkStatus();
}

cairo_status_t Append(void* closure, const unsigned char* data, unsigned int length) {
  static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(data), length);
  return CAIRO_STATUS_SUCCESS;
}

using Surface = std::unique_ptr<cairo_surface_t, SurfaceDeleter>;
using Context = std::unique_ptr<cairo_t, ContextDeleter>;

}  // namespace

absl::StatusOr<std::string> DrawHeatmap(const Heatmap& heatmap) {
  if (absl::Status status = Check(heatmap); !status.ok()) return status;
  // The size follows from the labels' widths, which need a surface to be measured on.
  const Surface scratch(cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1));
  const Context ruler(cairo_create(scratch.get()));
  const Layout layout = MeasureLayout(heatmap, [&ruler](const std::string& text, double size) {
    SetFont(ruler.get(), size, CAIRO_FONT_WEIGHT_BOLD);
    cairo_text_extents_t extents;
    cairo_text_extents(ruler.get(), text.c_str(), &extents);
    return extents.x_advance;
  });
  if (layout.width > kMaxSide || layout.height > kMaxSide) {
    return absl::ResourceExhaustedError("the heatmap has more rows or columns than a picture can show");
  }
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(std::ceil(layout.width)),
                                                   static_cast<int>(std::ceil(layout.height))));
  const Context context(cairo_create(surface.get()));
  Painter(context.get(), heatmap).Paint(layout);
  std::string png;
  cairo_status_t status = cairo_status(context.get());
  if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_write_to_png_stream(surface.get(), Append, &png);
  if (status == CAIRO_STATUS_INVALID_STRING) return absl::InvalidArgumentError("a label is not UTF-8");
  if (status != CAIRO_STATUS_SUCCESS) {
    return absl::InternalError(absl::StrCat("drawing failed: ", cairo_status_to_string(status)));
  }
  return png;
}

}  // namespace attend::cli
