// An executor of one thread that looks at the pool before each tile: what a call holds at most.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_WATCHING_EXECUTOR_H_
#define ATTEND_TESTS_SERVER_COMPUTE_WATCHING_EXECUTOR_H_

#include <algorithm>

#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::compute {

class WatchingExecutor final : public runtime::Executor {
 public:
  explicit WatchingExecutor(const runtime::BufferPool& pool) : pool_(pool) {}
  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    for (int64_t index = 0; index < tiles; ++index) {
      peak_ = std::max(peak_, pool_.in_use_bytes());
      if (auto done = tile(index, 0); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  int max_workers() const override { return 1; }
  const runtime::Cancellation& cancellation() const override { return cancellation_; }
  size_t peak() const { return peak_; }

 private:
  const runtime::BufferPool& pool_;
  runtime::Cancellation cancellation_;
  size_t peak_ = 0;
};

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_WATCHING_EXECUTOR_H_
