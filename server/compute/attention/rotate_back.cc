#include "server/compute/attention/rotate_back.h"

namespace attend::compute {
namespace {

// The pairs (x[i * step], y[i * step]).
template <typename T>
void TurnBack(const T* cosines, const T* sines, int64_t pairs, T* x, T* y, int64_t step) {
  for (int64_t i = 0; i < pairs; ++i) {
    const T old_x = x[i * step];
    const T old_y = y[i * step];
    x[i * step] = old_x * cosines[i] + old_y * sines[i];
    y[i * step] = old_y * cosines[i] - old_x * sines[i];
  }
}

}  // namespace

template <typename T>
absl::Status RotateBack(runtime::Executor& executor, runtime::BufferPool& pool, const RotaryPosition& position,
                        const PlacedRows& which, const HeadsView<T>& rows) {
  AngleTable<T> angles(pool, which.first_place, which.rows, which.columns, position.base);
  if (absl::Status done = angles.Fill(executor); !done.ok()) return done;
  const double tile_flops = 3.0 * static_cast<double>(which.rows) * static_cast<double>(which.columns);
  return executor.ForEachTile(which.batch * which.heads, tile_flops, [&](int64_t index, int) {
    for (int64_t i = 0; i < which.rows; ++i) {
      T* row = rows.at(index / which.heads, index % which.heads, i);
      if (position.interleaved) {
        TurnBack(angles.cosines(i), angles.sines(i), angles.pairs(), row, row + 1, 2);
      } else {
        TurnBack(angles.cosines(i), angles.sines(i), angles.pairs(), row, row + angles.pairs(), 1);
      }
    }
    return absl::OkStatus();
  });
}

template absl::Status RotateBack(runtime::Executor&, runtime::BufferPool&, const RotaryPosition&, const PlacedRows&,
                                 const HeadsView<float>&);
template absl::Status RotateBack(runtime::Executor&, runtime::BufferPool&, const RotaryPosition&, const PlacedRows&,
                                 const HeadsView<double>&);

}  // namespace attend::compute
