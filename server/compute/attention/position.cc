#include "server/compute/attention/position.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace attend::compute {
namespace {

// Rows of a tile of work, and of angles that are made from one sine each.
constexpr int64_t kTileRows = 256;
constexpr int64_t kSteps = 64;

int64_t BlocksOf(int64_t rows, int64_t block) { return (rows + block - 1) / block; }

// Radians from one place to the next, for each pair. A tiny base may carry them past the largest number.
std::vector<double> Frequencies(int64_t pairs, int64_t columns, double base) {
  std::vector<double> frequencies(static_cast<size_t>(pairs));
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2 * static_cast<double>(i) / static_cast<double>(columns);
    frequencies[static_cast<size_t>(i)] = std::min(std::pow(base, exponent), 1e280);
  }
  return frequencies;
}

// Cosines and sines of `count` multiples of the frequencies, from `first` on: [count, 2, pairs].
std::vector<double> Turns(const std::vector<double>& frequencies, int64_t first, int64_t count) {
  const size_t pairs = frequencies.size();
  std::vector<double> turns(static_cast<size_t>(count) * 2 * pairs);
  for (size_t row = 0; row < static_cast<size_t>(count); ++row) {
    double* cosines = turns.data() + row * 2 * pairs;
    for (size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(first + static_cast<int64_t>(row)) * frequencies[i];
      cosines[i] = std::cos(angle);
      cosines[pairs + i] = std::sin(angle);
    }
  }
  return turns;
}

// The turn by the angles of `a` and then of `b`, [2, pairs] each.
template <typename T>
void AddAngles(const double* a, const double* b, int64_t pairs, T* sum) {
  for (int64_t i = 0; i < pairs; ++i) {
    const double sine_a = a[pairs + i];
    const double sine_b = b[pairs + i];
    sum[i] = static_cast<T>(a[i] * b[i] - sine_a * sine_b);
    sum[pairs + i] = static_cast<T>(sine_a * b[i] + a[i] * sine_b);
  }
}

template <typename T>
void AddRow(const T* cosines, const T* sines, int64_t columns, const T* from, T* to) {
  for (int64_t i = 0; i < columns / 2; ++i) {
    to[2 * i] = from[2 * i] + sines[i];
    to[2 * i + 1] = from[2 * i + 1] + cosines[i];
  }
  if (columns % 2 != 0) to[columns - 1] = from[columns - 1] + sines[columns / 2];
}

template <typename T>
void RotateHalves(const T* cosines, const T* sines, int64_t columns, const T* from, T* to) {
  const int64_t half = columns / 2;
  for (int64_t i = 0; i < half; ++i) {
    const T x = from[i];
    const T y = from[i + half];
    to[i] = x * cosines[i] - y * sines[i];
    to[i + half] = y * cosines[i] + x * sines[i];
  }
}

template <typename T>
void RotateInterleaved(const T* cosines, const T* sines, int64_t columns, const T* from, T* to) {
  for (int64_t i = 0; i < columns / 2; ++i) {
    const T x = from[2 * i];
    const T y = from[2 * i + 1];
    to[2 * i] = x * cosines[i] - y * sines[i];
    to[2 * i + 1] = y * cosines[i] + x * sines[i];
  }
}

// Calls place_row(cosines, sines, columns, from, to) for every row.
template <typename T, typename PlaceRow>
absl::Status ForEachRow(runtime::Executor& executor, runtime::BufferPool& pool, double base, const PlacedRows& which,
                        const HeadsView<const T>& from, const HeadsView<T>& to, const PlaceRow& place_row) {
  AngleTable<T> table(pool, which.first_place, which.rows, which.columns, base);
  if (absl::Status done = table.Fill(executor); !done.ok()) return done;
  const int64_t blocks = BlocksOf(which.rows, kTileRows);
  const double tile_flops =
      3.0 * static_cast<double>(std::min(which.rows, kTileRows)) * static_cast<double>(which.columns);
  return executor.ForEachTile(which.batch * which.heads * blocks, tile_flops, [&](int64_t index, int worker) {
    const int64_t head = index / blocks % which.heads;
    const int64_t batch = index / blocks / which.heads;
    const int64_t begin = index % blocks * kTileRows;
    for (int64_t row = begin; row < std::min(begin + kTileRows, which.rows); ++row) {
      place_row(table.cosines(row), table.sines(row), which.columns, from.at(batch, head, row),
                to.at(batch, head, row));
    }
    return absl::OkStatus();
  });
}

}  // namespace

template <typename T>
AngleTable<T>::AngleTable(runtime::BufferPool& pool, int64_t first_place, int64_t rows, int64_t columns, double base)
    : first_place_(first_place),
      rows_(rows),
      pairs_((columns + 1) / 2),
      columns_(columns),
      base_(base),
      buffer_(pool.AllocateArray<T>(Elements(rows, columns))) {}

template <typename T>
absl::Status AngleTable<T>::Fill(runtime::Executor& executor) {
  const std::vector<double> frequencies = Frequencies(pairs_, columns_, base_);
  const std::vector<double> steps = Turns(frequencies, 0, std::min(rows_, kSteps));
  const double tile_flops = 100.0 * static_cast<double>(pairs_);
  return executor.ForEachTile(BlocksOf(rows_, kSteps), tile_flops, [&](int64_t index, int worker) {
    const int64_t begin = index * kSteps;
    const std::vector<double> start = Turns(frequencies, first_place_ + begin, 1);
    for (int64_t row = begin; row < std::min(begin + kSteps, rows_); ++row) {
      AddAngles(start.data(), steps.data() + (row - begin) * 2 * pairs_, pairs_,
                buffer_.template as<T>() + row * 2 * pairs_);
    }
    return absl::OkStatus();
  });
}

template <typename T>
absl::Status AddSinusoidal(runtime::Executor& executor, runtime::BufferPool& pool, const SinusoidalPosition& position,
                           const PlacedRows& which, const HeadsView<const T>& from, const HeadsView<T>& to) {
  return ForEachRow(executor, pool, position.base, which, from, to, AddRow<T>);
}

template <typename T>
absl::Status Rotate(runtime::Executor& executor, runtime::BufferPool& pool, const RotaryPosition& position,
                    const PlacedRows& which, const HeadsView<const T>& from, const HeadsView<T>& to) {
  if (position.interleaved) return ForEachRow(executor, pool, position.base, which, from, to, RotateInterleaved<T>);
  return ForEachRow(executor, pool, position.base, which, from, to, RotateHalves<T>);
}

template class AngleTable<float>;
template class AngleTable<double>;
template absl::Status AddSinusoidal(runtime::Executor&, runtime::BufferPool&, const SinusoidalPosition&,
                                    const PlacedRows&, const HeadsView<const float>&, const HeadsView<float>&);
template absl::Status AddSinusoidal(runtime::Executor&, runtime::BufferPool&, const SinusoidalPosition&,
                                    const PlacedRows&, const HeadsView<const double>&, const HeadsView<double>&);
template absl::Status Rotate(runtime::Executor&, runtime::BufferPool&, const RotaryPosition&, const PlacedRows&,
                             const HeadsView<const float>&, const HeadsView<float>&);
template absl::Status Rotate(runtime::Executor&, runtime::BufferPool&, const RotaryPosition&, const PlacedRows&,
                             const HeadsView<const double>&, const HeadsView<double>&);

}  // namespace attend::compute
