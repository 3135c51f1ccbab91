#include "server/runtime/compute_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <new>
#include <vector>

namespace attend::runtime {
namespace {

std::shared_ptr<Cancellation> NeverCancelled() { return std::make_shared<Cancellation>(); }

// Runs one job and waits for it.
void RunJob(ComputePool& pool, std::shared_ptr<Cancellation> cancellation, absl::FunctionRef<void(Executor&)> job) {
  std::latch done(1);
  pool.Start(std::move(cancellation), [&](Executor& executor) {
    job(executor);
    done.count_down();
  });
  done.wait();
}

TEST(ComputePool, RunsEveryTileOnce) {
  for (int slots : {1, 2, 3, 7}) {
    ComputePool pool(slots);
    for (int64_t tiles : {0, 1, 2, 3, 17, 1000}) {
      for (double flops : {1.0, 1e6, 1e9}) {
        std::vector<std::atomic<int>> runs(tiles);
        RunJob(pool, NeverCancelled(), [&](Executor& executor) {
          EXPECT_TRUE(executor
                          .ForEachTile(tiles, flops,
                                       [&](int64_t index, int) {
                                         ++runs[index];
                                         return absl::OkStatus();
                                       })
                          .ok());
        });
        for (const auto& run : runs) EXPECT_EQ(run, 1);
      }
    }
  }
}

TEST(ComputePool, ConcurrentTilesHaveDifferentWorkers) {
  ComputePool pool(4);
  const int workers = 4;
  std::vector<std::unique_ptr<std::latch>> jobs;
  for (int call = 0; call < 6; ++call) {
    auto& done = *jobs.emplace_back(std::make_unique<std::latch>(1));
    pool.Start(NeverCancelled(), [&](Executor& executor) {
      ASSERT_EQ(executor.max_workers(), workers);
      std::vector<std::atomic<int>> taken(workers);
      for (int repeat = 0; repeat < 50; ++repeat) {
        ASSERT_TRUE(executor
                        .ForEachTile(20, 1e8,
                                     [&](int64_t, int worker) {
                                       EXPECT_EQ(taken[worker]++, 0)
                                           << "worker " << worker << " runs two tiles at once";
                                       std::this_thread::yield();
                                       --taken[worker];
                                       return absl::OkStatus();
                                     })
                        .ok());
      }
      done.count_down();
    });
  }
  for (auto& job : jobs) job->wait();
}

TEST(ComputePool, NeverComputesOnMoreThreadsThanSlots) {
  constexpr int kSlots = 3;
  ComputePool pool(kSlots);
  std::atomic<int> computing{0};
  std::atomic<int> most{0};
  std::latch done(10);
  for (int call = 0; call < 10; ++call) {
    pool.Start(NeverCancelled(), [&](Executor& executor) {
      EXPECT_TRUE(executor
                      .ForEachTile(200, 1e8,
                                   [&](int64_t, int) {
                                     const int now = ++computing;
                                     int seen = most;
                                     while (now > seen && !most.compare_exchange_weak(seen, now)) {
                                     }
                                     std::this_thread::yield();
                                     --computing;
                                     return absl::OkStatus();
                                   })
                      .ok());
      done.count_down();
    });
  }
  done.wait();
  EXPECT_LE(most, kSlots);
  EXPECT_GE(most, 1);
}

TEST(ComputePool, FreeSlotsHelpACallWithManyTiles) {
  ComputePool pool(2);
  // Each of the two tiles waits for the other: only two threads at once can finish them.
  std::latch both(2);
  RunJob(pool, NeverCancelled(), [&](Executor& executor) {
    EXPECT_TRUE(executor
                    .ForEachTile(2, 1e9,
                                 [&](int64_t, int) {
                                   both.arrive_and_wait();
                                   return absl::OkStatus();
                                 })
                    .ok());
  });
}

TEST(ComputePool, SmallCallOvertakesALargeOne) {
  ComputePool pool(1);
  std::latch large_runs(1);
  std::latch small_queued(1);
  std::latch done(2);
  std::atomic<int64_t> large_tiles_before_small{-1};
  std::atomic<int64_t> large_tiles{0};
  pool.Start(NeverCancelled(), [&](Executor& executor) {
    EXPECT_TRUE(executor
                    .ForEachTile(1000, 1e8,
                                 [&](int64_t index, int) {
                                   if (index == 0) {
                                     large_runs.count_down();
                                     small_queued.wait();
                                   }
                                   ++large_tiles;
                                   return absl::OkStatus();
                                 })
                    .ok());
    done.count_down();
  });
  large_runs.wait();
  pool.Start(NeverCancelled(), [&](Executor&) {
    large_tiles_before_small = large_tiles.load();
    done.count_down();
  });
  small_queued.count_down();
  done.wait();
  EXPECT_EQ(large_tiles_before_small, 1);
}

TEST(ComputePool, LargeCallsShareOneSlotInInstallments) {
  ComputePool pool(1);
  std::atomic<int64_t> progress[2] = {0, 0};
  std::atomic<int64_t> widest_gap{0};
  std::latch first_runs(1);
  std::latch second_queued(1);
  std::latch done(2);
  const auto start = [&](int call) {
    pool.Start(NeverCancelled(), [&, call](Executor& executor) {
      EXPECT_TRUE(executor
                      .ForEachTile(400, 2e8,
                                   [&](int64_t index, int) {
                                     if (call == 0 && index == 0) {
                                       first_runs.count_down();
                                       second_queued.wait();
                                     }
                                     ++progress[call];
                                     widest_gap = std::max<int64_t>(widest_gap, std::abs(progress[0] - progress[1]));
                                     return absl::OkStatus();
                                   })
                      .ok());
      done.count_down();
    });
  };
  start(0);
  first_runs.wait();
  start(1);
  second_queued.count_down();
  done.wait();
  // An installment is five tiles.
  EXPECT_LE(widest_gap, 11);
  EXPECT_GE(widest_gap, 1);
}

// Starts calls while the only slot is taken, and returns in which order they are done.
std::vector<int> OrderOfCalls(const std::vector<std::pair<double, std::shared_ptr<Cancellation>>>& calls) {
  ComputePool pool(1);
  std::latch blocked(1), queued(1), done(static_cast<std::ptrdiff_t>(calls.size()));
  pool.Start(NeverCancelled(), [&](Executor&) {
    blocked.count_down();
    queued.wait();
  });
  blocked.wait();
  std::mutex mutex;
  std::vector<int> order;
  for (size_t call = 0; call < calls.size(); ++call) {
    pool.Start(calls[call].second, [&, call](Executor& executor) {
      EXPECT_TRUE(executor.ForEachTile(10, calls[call].first / 10, [](int64_t, int) { return absl::OkStatus(); }).ok());
      std::lock_guard lock(mutex);
      order.push_back(static_cast<int>(call));
      done.count_down();
    });
  }
  queued.count_down();
  done.wait();
  return order;
}

TEST(ComputePool, EqualCallsAreDoneOneAfterTheOtherByDeadline) {
  const auto due_in = [](int seconds) {
    return std::make_shared<Cancellation>(Cancellation::Clock::now() + std::chrono::seconds(seconds));
  };
  EXPECT_THAT(OrderOfCalls({{5e8, due_in(20)}, {5e8, NeverCancelled()}, {5e8, due_in(10)}}),
              ::testing::ElementsAre(2, 0, 1));
}

TEST(ComputePool, LessWorkIsDoneFirst) {
  EXPECT_THAT(OrderOfCalls({{8e8, NeverCancelled()}, {6e8, NeverCancelled()}, {2e7, NeverCancelled()}}),
              ::testing::ElementsAre(2, 1, 0));
}

TEST(ComputePool, FirstFailureEndsTheLoop) {
  ComputePool pool(2);
  std::atomic<int> ran{0};
  RunJob(pool, NeverCancelled(), [&](Executor& executor) {
    const absl::Status status = executor.ForEachTile(1000, 1e9, [&](int64_t index, int) -> absl::Status {
      ++ran;
      if (index == 3) return absl::OutOfRangeError("tile 3");
      return absl::OkStatus();
    });
    EXPECT_EQ(status, absl::OutOfRangeError("tile 3"));
  });
  EXPECT_LT(ran, 1000);
}

TEST(ComputePool, ATileWithoutMemoryFailsItsCallAlone) {
  ComputePool pool(2);
  RunJob(pool, NeverCancelled(), [&](Executor& executor) {
    const absl::Status status =
        executor.ForEachTile(8, 1e9, [](int64_t, int) -> absl::Status { throw std::bad_alloc(); });
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  });
  RunJob(pool, NeverCancelled(), [](Executor&) {});
}

TEST(ComputePool, CancelledCallStopsBetweenTiles) {
  ComputePool pool(2);
  auto cancellation = NeverCancelled();
  std::atomic<int> ran{0};
  RunJob(pool, cancellation, [&](Executor& executor) {
    const absl::Status status = executor.ForEachTile(1000, 1e9, [&](int64_t, int) {
      if (++ran == 5) cancellation->Cancel();
      return absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  });
  EXPECT_LE(ran, 6);
}

TEST(ComputePool, ExpiredCallRunsNoTile) {
  ComputePool pool(1);
  auto expired = std::make_shared<Cancellation>(Cancellation::Clock::now());
  RunJob(pool, expired, [&](Executor& executor) {
    const absl::Status status = executor.ForEachTile(10, 1e9, [&](int64_t, int) {
      ADD_FAILURE() << "a tile ran";
      return absl::OkStatus();
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  });
}

TEST(ComputePool, DestructorWaitsForJobs) {
  std::atomic<int> finished{0};
  {
    ComputePool pool(2);
    for (int call = 0; call < 20; ++call) {
      pool.Start(NeverCancelled(), [&](Executor& executor) {
        EXPECT_TRUE(executor.ForEachTile(10, 1e7, [](int64_t, int) { return absl::OkStatus(); }).ok());
        ++finished;
      });
    }
  }
  EXPECT_EQ(finished, 20);
}

}  // namespace
}  // namespace attend::runtime
