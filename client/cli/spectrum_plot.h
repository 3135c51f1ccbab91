// Eigenvalues in the complex plane beside the unit circle, as a PNG. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_SPECTRUM_PLOT_H_
#define ATTEND_CLIENT_CLI_SPECTRUM_PLOT_H_

#include <complex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace attend::cli {

struct SpectrumPlot {
  struct Disc {
    std::string title;
    std::vector<std::vector<std::complex<double>>> series;  // one per name; what lies outside is drawn on the edge
  };
  std::string title;
  std::string subtitle;
  std::vector<std::string> names;  // of the series, at most 6: each has a colour and a shape
  std::vector<Disc> discs;         // side by side, all on the same scale
};

// The PNG's bytes. INVALID_ARGUMENT where there is no disc, or more series than names or than shapes; INTERNAL where
// drawing fails.
absl::StatusOr<std::string> DrawSpectrum(const SpectrumPlot& plot);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_SPECTRUM_PLOT_H_
