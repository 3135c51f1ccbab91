#include "client/cli/spectrum_plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <numbers>

#include <cairo.h>
#include <fmt/format.h>

namespace attend::cli {
namespace {

// All lengths in pixels.
constexpr double kMargin = 28;
constexpr double kHeading = 92;
constexpr double kDiscTitle = 34;
constexpr double kRadius = 250;
constexpr double kReach = 1.08;  // of an axis, in radii
constexpr double kAxisLabels = 56;
constexpr double kGap = 40;
constexpr double kLegendLine = 30;
constexpr double kLegendWidth = 130;
constexpr double kMarker = 5.5;
constexpr double kTick = 0.5;

struct Ink {
  double red, green, blue;
};
constexpr Ink kBlack{0.10, 0.10, 0.13};
constexpr Ink kGray{0.40, 0.40, 0.45};
constexpr Ink kLight{0.84, 0.84, 0.87};
// Okabe and Ito's palette: told apart by readers with colour blindness.
constexpr Ink kSeries[] = {{0, 0.447, 0.698},     {0.835, 0.369, 0},  {0, 0.620, 0.451},
                           {0.800, 0.475, 0.655}, {0.35, 0.35, 0.35}, {0.902, 0.624, 0}};

struct SurfaceDeleter {
  void operator()(cairo_surface_t* surface) const { cairo_surface_destroy(surface); }
};
struct ContextDeleter {
  void operator()(cairo_t* context) const { cairo_destroy(context); }
};

class Painter {
 public:
  Painter(cairo_t* cairo, const SpectrumPlot& plot) : cairo_(cairo), plot_(plot) {}

  static double DiscWidth() { return 2 * kReach * kRadius + kAxisLabels; }
  static double Width(const SpectrumPlot& plot) {
    const auto discs = static_cast<double>(plot.discs.size());
    return 2 * kMargin + discs * DiscWidth() + discs * kGap + kLegendWidth;
  }
  static double Height() { return 2 * kMargin + kHeading + kDiscTitle + 2 * kReach * kRadius + kAxisLabels; }

  void Paint() {
    Use({1, 1, 1});
    cairo_paint(cairo_);
    Text(plot_.title, kMargin, kMargin + 14, 29, kBlack, 0, CAIRO_FONT_WEIGHT_BOLD);
    Text(plot_.subtitle, kMargin, kMargin + 50, 19, kGray, 0);
    for (size_t i = 0; i < plot_.discs.size(); ++i) {
      center_x_ = kMargin + kAxisLabels + kReach * kRadius + static_cast<double>(i) * (DiscWidth() + kGap);
      center_y_ = kMargin + kHeading + kDiscTitle + kReach * kRadius;
      PaintAxes(plot_.discs[i].title);
      for (size_t k = 0; k < plot_.discs[i].series.size(); ++k) PaintSeries(plot_.discs[i].series[k], k);
    }
    PaintLegend();
  }

 private:
  void Use(const Ink& ink, double opacity = 1) { cairo_set_source_rgba(cairo_, ink.red, ink.green, ink.blue, opacity); }

  // `share` of the text lies left of x; y is the middle of its height.
  void Text(const std::string& text, double x, double y, double size, const Ink& ink, double share,
            cairo_font_weight_t weight = CAIRO_FONT_WEIGHT_NORMAL, double angle = 0) {
    cairo_save(cairo_);
    cairo_select_font_face(cairo_, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, weight);
    cairo_set_font_size(cairo_, size);
    Use(ink);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_, text.c_str(), &extents);
    cairo_translate(cairo_, x, y);
    cairo_rotate(cairo_, -angle);
    cairo_move_to(cairo_, -share * extents.x_advance, 0.36 * size);
    cairo_show_text(cairo_, text.c_str());
    cairo_restore(cairo_);
  }

  void Line(double x0, double y0, double x1, double y1) {
    cairo_move_to(cairo_, center_x_ + x0 * kRadius, center_y_ - y0 * kRadius);
    cairo_line_to(cairo_, center_x_ + x1 * kRadius, center_y_ - y1 * kRadius);
    cairo_stroke(cairo_);
  }

  void Circle(double radius) {
    cairo_new_sub_path(cairo_);
    cairo_arc(cairo_, center_x_, center_y_, radius * kRadius, 0, 2 * std::numbers::pi);
  }

  void PaintAxes(const std::string& title) {
    const double left = center_x_ - kReach * kRadius, bottom = center_y_ + kReach * kRadius;
    Text(title, left, center_y_ - kReach * kRadius - kDiscTitle / 2, 20, kBlack, 0, CAIRO_FONT_WEIGHT_BOLD);
    cairo_set_line_width(cairo_, 1);
    Use(kLight);
    Circle(kTick);
    cairo_stroke(cairo_);
    Line(-kReach, 0, kReach, 0);
    Line(0, -kReach, 0, kReach);
    Use(kBlack);
    cairo_set_line_width(cairo_, 1.5);
    Circle(1);
    cairo_stroke(cairo_);
    for (double tick = -1; tick <= 1; tick += kTick) {
      const std::string label = fmt::format("{:g}", tick);
      Text(label, center_x_ + tick * kRadius, bottom + 14, 15, kGray, 0.5);
      Text(label, left - 8, center_y_ - tick * kRadius, 15, kGray, 1);
    }
    Text("real part", center_x_, bottom + 40, 16, kGray, 0.5);
    Text("imaginary part", left - kAxisLabels + 8, center_y_, 16, kGray, 0.5, CAIRO_FONT_WEIGHT_NORMAL,
         std::numbers::pi / 2);
  }

  void Marker(double x, double y, size_t series) {
    cairo_new_path(cairo_);  // a text leaves a current point
    if (series == 0) {
      cairo_arc(cairo_, x, y, kMarker, 0, 2 * std::numbers::pi);
    } else {
      // Polygons of 4, 3, 4 (on its tip), 5 and 6 corners.
      constexpr int kCorners[] = {0, 4, 3, 4, 5, 6};
      const double turn = series == 1 ? std::numbers::pi / 4 : 0;
      for (int corner = 0; corner < kCorners[series]; ++corner) {
        const double angle = turn + 2 * std::numbers::pi * corner / kCorners[series] - std::numbers::pi / 2;
        cairo_line_to(cairo_, x + 1.25 * kMarker * std::cos(angle), y + 1.25 * kMarker * std::sin(angle));
      }
      cairo_close_path(cairo_);
    }
    cairo_set_line_width(cairo_, 1.5);
    Use({1, 1, 1});
    cairo_stroke_preserve(cairo_);
    Use(kSeries[series], 0.8);
    cairo_fill(cairo_);
  }

  void PaintSeries(const std::vector<std::complex<double>>& values, size_t series) {
    for (const std::complex<double>& value : values) {
      const double modulus = std::abs(value);
      const std::complex<double> at = modulus > kReach ? value * (kReach / modulus) : value;
      Marker(center_x_ + at.real() * kRadius, center_y_ - at.imag() * kRadius, series);
    }
  }

  void PaintLegend() {
    const double x = Width(plot_) - kMargin - kLegendWidth + kMarker;
    double y = kMargin + kHeading + kDiscTitle + kMarker;
    for (size_t k = 0; k < plot_.names.size(); ++k, y += kLegendLine) {
      Marker(x, y, k);
      Text(plot_.names[k], x + 18, y, 17, kBlack, 0);
    }
  }

  cairo_t* const cairo_;
  const SpectrumPlot& plot_;
  double center_x_ = 0, center_y_ = 0;
};

cairo_status_t Append(void* to, const unsigned char* bytes, unsigned int count) {
  static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), count);
  return CAIRO_STATUS_SUCCESS;
}

absl::Status Check(const SpectrumPlot& plot) {
  if (plot.discs.empty()) return absl::InvalidArgumentError("got no disc, expected at least one");
  if (plot.names.size() > std::size(kSeries)) {
    return absl::InvalidArgumentError(
        fmt::format("got {} series, expected at most {}", plot.names.size(), std::size(kSeries)));
  }
  for (const SpectrumPlot::Disc& disc : plot.discs) {
    if (disc.series.size() <= plot.names.size()) continue;
    return absl::InvalidArgumentError(fmt::format("disc '{}' has {} series, expected at most {}, as names", disc.title,
                                                  disc.series.size(), plot.names.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> DrawSpectrum(const SpectrumPlot& plot) {
  if (absl::Status status = Check(plot); !status.ok()) return status;
  const std::unique_ptr<cairo_surface_t, SurfaceDeleter> surface(cairo_image_surface_create(
      CAIRO_FORMAT_RGB24, static_cast<int>(std::ceil(Painter::Width(plot))), static_cast<int>(Painter::Height())));
  const std::unique_ptr<cairo_t, ContextDeleter> cairo(cairo_create(surface.get()));
  Painter(cairo.get(), plot).Paint();
  std::string png;
  cairo_status_t status = cairo_status(cairo.get());
  if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_write_to_png_stream(surface.get(), Append, &png);
  if (status != CAIRO_STATUS_SUCCESS) return absl::InternalError(cairo_status_to_string(status));
  return png;
}

}  // namespace attend::cli
