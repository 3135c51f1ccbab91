// A sequential colour map from near white to dark violet. Pure function, thread-safe.
#ifndef ATTEND_CLIENT_CLI_COLOR_MAP_H_
#define ATTEND_CLIENT_CLI_COLOR_MAP_H_

namespace attend::cli {

struct Color {
  double red, green, blue;  // sRGB, each in [0, 1]
  double lightness;         // OKLab's L, in [0, 1]
};

// The colour of `position` in [0, 1] (clamped; NaN is 0). Lightness falls linearly, so equal steps of the value look
// equally large, in print and to the colour-blind too; hue runs from yellow over green and blue to violet.
// Interpolates control points in OKLab (Ottosson 2020).
Color ColorAt(double position);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_COLOR_MAP_H_
