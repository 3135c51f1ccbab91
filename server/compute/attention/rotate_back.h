// The adjoint of Rotate: gradients of rotated rows turned back. Thread-safe for distinct rows.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_ROTATE_BACK_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_ROTATE_BACK_H_

#include "absl/status/status.h"
#include "server/compute/attention/position.h"
#include "server/compute/attention/problem.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// Each pair (x, y) of `rows`, turned against its angle in place: (x cos + y sin, y cos - x sin).
// REQUIRES: rows [batch, heads, rows, columns] of `which`; columns is even.
// Returns the executor's errors. Throws std::bad_alloc.
template <typename T>
absl::Status RotateBack(runtime::Executor& executor, runtime::BufferPool& pool, const RotaryPosition& position,
                        const PlacedRows& which, const HeadsView<T>& rows);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_ROTATE_BACK_H_
