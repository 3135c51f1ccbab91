// Passes over large matrices in panels: threads share them, and a cancelled call stops between two. What the panels are
// depends on the shape alone.
#ifndef ATTEND_SERVER_COMPUTE_PANELS_H_
#define ATTEND_SERVER_COMPUTE_PANELS_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Rows, or columns in bands of kBandColumns, whose entries take some tenths of a millisecond to pass over.
inline constexpr int64_t kPanelEntries = int64_t{1} << 18;
inline constexpr int64_t kBandColumns = 64;

inline int64_t PanelLength(int64_t entries_each) {
  return std::max<int64_t>(1, kPanelEntries / std::max<int64_t>(1, entries_each));
}

// work(begin, end) for panels that make up [0, count), in any order and at the same time; `entries_each` is what one of
// the count has to read. The executor's errors; a single panel runs at once, without asking it.
template <typename Work>
absl::Status ForEachPanel(runtime::Executor& executor, int64_t count, int64_t entries_each, const Work& work) {
  const int64_t length = PanelLength(entries_each);
  if (count <= length) {
    if (count > 0) work(int64_t{0}, count);
    return absl::OkStatus();
  }
  const auto flops = static_cast<double>(length * entries_each);
  return executor.ForEachTile((count + length - 1) / length, flops, [&](int64_t panel, int) {
    work(panel * length, std::min(count, (panel + 1) * length));
    return absl::OkStatus();
  });
}

// The same one after the other, for work whose panels need what the ones before them left.
template <typename Work>
absl::Status ForEachPanelInOrder(runtime::Executor& executor, int64_t count, int64_t entries_each, const Work& work) {
  const int64_t length = PanelLength(entries_each);
  for (int64_t begin = 0; begin < count; begin += length) {
    const int64_t end = std::min(count, begin + length);
    const auto panel = [&](int64_t, int) {
      work(begin, end);
      return absl::OkStatus();
    };
    const auto flops = static_cast<double>(length * entries_each);
    const absl::Status done = count <= length ? panel(0, 0) : executor.ForEachTile(1, flops, panel);
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

// For columns whose sums go down through all rows: work(begin, end) of columns, in bands.
template <typename Work>
absl::Status ForEachBand(runtime::Executor& executor, int64_t rows, int64_t cols, const Work& work) {
  const int64_t bands = (cols + kBandColumns - 1) / kBandColumns;
  return ForEachPanel(executor, bands, rows * kBandColumns, [&](int64_t begin, int64_t end) {
    work(begin * kBandColumns, std::min(cols, end * kBandColumns));
  });
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_PANELS_H_
