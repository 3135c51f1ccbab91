// An executor of one thread whose call is cancelled in the middle of one of its tiles.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_CANCELLING_EXECUTOR_H_
#define ATTEND_TESTS_SERVER_COMPUTE_CANCELLING_EXECUTOR_H_

#include <limits>

#include "server/runtime/executor.h"

namespace attend::compute {

class CancellingExecutor final : public runtime::Executor {
 public:
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  explicit CancellingExecutor(int64_t last_tile) : last_tile_(last_tile) {}
  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    for (int64_t index = 0; index < tiles; ++index) {
      if (auto wanted = cancellation_.Check(); !wanted.ok()) return wanted;
      if (tiles_++ == last_tile_) cancellation_.Cancel();
      if (auto done = tile(index, 0); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  int max_workers() const override { return 1; }
  const runtime::Cancellation& cancellation() const override { return cancellation_; }
  int64_t tiles() const { return tiles_; }  // begun

 private:
  const int64_t last_tile_;
  int64_t tiles_ = 0;
  runtime::Cancellation cancellation_;
};

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_CANCELLING_EXECUTOR_H_
