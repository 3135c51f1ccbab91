// Where tokens stand: sinusoidal rows that are added, rotary angles that turn pairs of columns. Thread-safe.
//
// Both come of the angles place * base^(-2 i / columns), pair i of ceil(columns / 2).
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_POSITION_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_POSITION_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// The rows of heads at consecutive places.
struct PlacedRows {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t first_place = 0;  // of row 0; may be negative
};

// Cosines and sines of the angles of `rows` consecutive places, computed in double.
template <typename T>
class AngleTable {
 public:
  // REQUIRES: base is finite and > 0.
  AngleTable(runtime::BufferPool& pool, int64_t first_place, int64_t rows, int64_t columns, double base);

  static size_t Elements(int64_t rows, int64_t columns) { return static_cast<size_t>(rows * 2 * ((columns + 1) / 2)); }

  absl::Status Fill(runtime::Executor& executor);

  int64_t pairs() const { return pairs_; }
  const T* cosines(int64_t row) const { return buffer_.template as<T>() + row * 2 * pairs_; }  // [pairs]
  const T* sines(int64_t row) const { return cosines(row) + pairs_; }                          // [pairs]

 private:
  int64_t first_place_;
  int64_t rows_;
  int64_t pairs_;
  int64_t columns_;
  double base_;
  runtime::Buffer buffer_;
};

// to = from + PE, PE[p, 2i] = sin(angle), PE[p, 2i + 1] = cos(angle) of the row's place p.
// REQUIRES: both [batch, heads, rows, columns] of `which`, and they do not overlap.
// Returns CANCELLED / DEADLINE_EXCEEDED.
template <typename T>
absl::Status AddSinusoidal(runtime::Executor& executor, runtime::BufferPool& pool, const SinusoidalPosition& position,
                           const PlacedRows& which, const HeadsView<const T>& from, const HeadsView<T>& to);

// to = from with each pair (x, y) turned by its angle: (x cos - y sin, y cos + x sin).
// REQUIRES: as AddSinusoidal; columns is even.
template <typename T>
absl::Status Rotate(runtime::Executor& executor, runtime::BufferPool& pool, const RotaryPosition& position,
                    const PlacedRows& which, const HeadsView<const T>& from, const HeadsView<T>& to);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_POSITION_H_
