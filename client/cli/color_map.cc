#include "client/cli/color_map.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace attend::cli {
namespace {

// Chroma and hue at equal steps of the position; lightness needs no control points.
struct ControlPoint {
  double a, b;  // OKLab
};
constexpr ControlPoint kPoints[] = {
    {-0.004, 0.018},  {-0.045, 0.085},  {-0.085, 0.060}, {-0.085, 0.000},
    {-0.060, -0.055}, {-0.010, -0.095}, {0.030, -0.110}, {0.060, -0.085},
};
constexpr int kSegments = static_cast<int>(std::size(kPoints)) - 1;
constexpr double kLightest = 0.985;
constexpr double kDarkest = 0.27;

double Gamma(double linear) {
  const double clamped = std::clamp(linear, 0.0, 1.0);
  return clamped <= 0.0031308 ? 12.92 * clamped : 1.055 * std::pow(clamped, 1 / 2.4) - 0.055;
}

Color FromOklab(double lightness, double a, double b) {
  const double l = std::pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  const double m = std::pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  const double s = std::pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  return {Gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          Gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          Gamma(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s), lightness};
}

}  // namespace

Color ColorAt(double position) {
  const double p = std::isnan(position) ? 0 : std::clamp(position, 0.0, 1.0);
  const int segment = std::min(static_cast<int>(p * kSegments), kSegments - 1);
  const double share = p * kSegments - segment;
  const ControlPoint& from = kPoints[segment];
  const ControlPoint& to = kPoints[segment + 1];
  return FromOklab(kLightest + p * (kDarkest - kLightest), from.a + share * (to.a - from.a),
                   from.b + share * (to.b - from.b));
}

}  // namespace attend::cli
