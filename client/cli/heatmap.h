// Labelled heatmaps side by side, as a PNG. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_CLI_HEATMAP_H_
#define ATTEND_CLIENT_CLI_HEATMAP_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace attend::cli {

struct Heatmap {
  struct Panel {
    std::string title;
    std::vector<double> values;  // [rows, columns], each in [0, 1]; NaN is drawn as 0
  };

  std::string title;
  std::string subtitle;
  std::string row_axis;           // what the rows are
  std::string column_axis;        // what the columns are
  std::string value_axis;         // what the colours are
  std::vector<std::string> rows;  // labels, UTF-8
  std::vector<std::string> columns;
  std::vector<Panel> panels;         // two to five in a line; all share one colour scale, from 0 to the largest value
  std::optional<size_t> marked_row;  // framed in every panel, with a ring around its largest value
};

// The PNG's bytes. INVALID_ARGUMENT where a panel's size is not rows times columns, a text is not UTF-8 or there
// is nothing to draw, RESOURCE_EXHAUSTED where the picture does not fit an image, INTERNAL where drawing fails.
absl::StatusOr<std::string> DrawHeatmap(const Heatmap& heatmap);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_HEATMAP_H_
