// How a kernel gets its tiles run. An Executor belongs to one call; kernels neither see other calls nor threads.
//
// Determinism: which tiles there are and what each adds up must depend on the problem's shape alone, never on
// max_workers() or on which worker runs what.
#ifndef ATTEND_SERVER_RUNTIME_EXECUTOR_H_
#define ATTEND_SERVER_RUNTIME_EXECUTOR_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "server/runtime/cancellation.h"

namespace attend::runtime {

class Executor {
 public:
  virtual ~Executor() = default;

  // Runs tile(index, worker) once for every index in [0, tiles), in any order, on up to max_workers() threads at once,
  // and returns when all are done. Two tiles that run at the same time have different `worker`s in
  // [0, max_workers()), so that scratch memory can be indexed by it.
  // `tile_flops` is the estimated floating-point work of one tile: it decides how tiles of different calls interleave.
  // Stops early and returns the first error of a tile, or CANCELLED / DEADLINE_EXCEEDED, polled between tiles.
  // A tile must not call ForEachTile on this executor: hand nested work an InlineExecutor.
  virtual absl::Status ForEachTile(int64_t tiles, double tile_flops,
                                   absl::FunctionRef<absl::Status(int64_t index, int worker)> tile) = 0;

  virtual int max_workers() const = 0;

  // For long stretches without tiles: the call's cancellation, to poll.
  virtual const Cancellation& cancellation() const = 0;
};

// Runs all tiles on the calling thread: for work nested in a tile, and for tests.
class InlineExecutor final : public Executor {
 public:
  explicit InlineExecutor(const Cancellation& cancellation) : cancellation_(cancellation) {}

  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t index, int worker)> tile) override {
    for (int64_t index = 0; index < tiles; ++index) {
      if (absl::Status wanted = cancellation_.Check(); !wanted.ok()) return wanted;
      if (absl::Status done = tile(index, 0); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  int max_workers() const override { return 1; }
  const Cancellation& cancellation() const override { return cancellation_; }

 private:
  const Cancellation& cancellation_;
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_EXECUTOR_H_
