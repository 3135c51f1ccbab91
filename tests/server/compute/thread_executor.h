// An executor for tests: threads of its own for each ForEachTile, which take the tiles in turn.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_THREAD_EXECUTOR_H_
#define ATTEND_TESTS_SERVER_COMPUTE_THREAD_EXECUTOR_H_

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "server/runtime/executor.h"

namespace attend::compute {

class ThreadExecutor final : public runtime::Executor {
 public:
  explicit ThreadExecutor(int workers) : workers_(workers) {}

  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t index, int worker)> tile) override {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    absl::Status first_error;
    std::vector<std::thread> threads;
    for (int worker = 0; worker < workers_; ++worker) {
      threads.emplace_back([&, worker] {
        for (int64_t index = next++; index < tiles; index = next++) {
          const absl::Status done = tile(index, worker);
          std::lock_guard lock(mutex);
          if (first_error.ok()) first_error = done;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return first_error;
  }
  int max_workers() const override { return workers_; }
  const runtime::Cancellation& cancellation() const override { return cancellation_; }

 private:
  const int workers_;
  runtime::Cancellation cancellation_;
};

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_THREAD_EXECUTOR_H_
