#include "server/runtime/buffer_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace attend::runtime {
namespace {

TEST(BufferPool, BlocksAreAlignedAndLargeEnough) {
  BufferPool pool;
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{511}, size_t{512}, size_t{513}, size_t{1000}, size_t{4097},
                       size_t{1} << 20, (size_t{1} << 20) + 1}) {
    Buffer buffer = pool.Allocate(bytes);
    EXPECT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u) << bytes;
    std::memset(buffer.data(), 0xAB, bytes);
  }
}

TEST(BufferPool, WastesAtMostAnEighth) {
  BufferPool pool;
  for (size_t bytes = 600; bytes < (size_t{1} << 24); bytes = bytes * 9 / 8 + 7) {
    Buffer buffer = pool.Allocate(bytes);
    EXPECT_LE(pool.in_use_bytes(), bytes + bytes / 8 + 1) << bytes;
  }
}

TEST(BufferPool, UsesABlockAgain) {
  BufferPool pool;
  std::byte* first;
  {
    Buffer buffer = pool.Allocate(10000);
    first = buffer.data();
  }
  EXPECT_GE(pool.idle_bytes(), 10000u);
  Buffer again = pool.Allocate(10000);
  EXPECT_EQ(again.data(), first);
  EXPECT_EQ(pool.idle_bytes(), 0u);
}

TEST(BufferPool, GivesBackWhatExceedsItsIdleLimit) {
  BufferPool pool({.max_idle_bytes = 5000});
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 10; ++i) buffers.push_back(pool.Allocate(2048));
  }
  EXPECT_LE(pool.idle_bytes(), 5000u);
  EXPECT_GE(pool.idle_bytes(), 2048u);
  EXPECT_EQ(pool.in_use_bytes(), 0u);
}

// A pool on a clock that stands still until it is moved.
struct TimedPool {
  BufferPool::Clock::time_point now{};
  BufferPool pool{BufferPool::Limits(), [this] { return now; }};

  size_t held() const { return pool.in_use_bytes() + pool.idle_bytes(); }
};

TEST(BufferPool, HoldsNoMoreThanTheRecentPeakOfUse) {
  TimedPool timed;
  size_t peak = 0;
  uint64_t random = 1;
  std::vector<Buffer> buffers(16);
  for (int i = 0; i < 5000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    Buffer& buffer = buffers[(random >> 33) % buffers.size()];
    buffer = Buffer();
    buffer = timed.pool.Allocate((random >> 40) % (1 << 20));
    peak = std::max(peak, timed.pool.in_use_bytes());
    ASSERT_LE(timed.held(), peak);
  }
  buffers.clear();
  EXPECT_EQ(timed.pool.in_use_bytes(), 0u);
  EXPECT_GT(timed.pool.idle_bytes(), peak / 2);
}

TEST(BufferPool, ANewSizeReplacesTheBlockUnusedForLongest) {
  TimedPool timed;
  std::byte* kept;
  {
    Buffer first = timed.pool.Allocate(1 << 20);
    Buffer second = timed.pool.Allocate(2 << 20);
    kept = second.data();
    first = Buffer();
    second = Buffer();
  }
  Buffer another = timed.pool.Allocate(3 << 18);
  EXPECT_EQ(timed.pool.idle_bytes(), size_t{2} << 20);
  EXPECT_EQ(timed.pool.Allocate(2 << 20).data(), kept);
}

TEST(BufferPool, ForgetsAPeakAfterTwoWindows) {
  TimedPool timed;
  { Buffer large = timed.pool.Allocate(64 << 20); }
  timed.now += BufferPool::kPeakWindow;
  timed.pool.Trim();
  EXPECT_EQ(timed.pool.idle_bytes(), size_t{64} << 20);
  timed.now += BufferPool::kPeakWindow;
  timed.pool.Trim();
  EXPECT_EQ(timed.pool.idle_bytes(), 0u);
}

TEST(BufferPool, ReturningABlockTrimsAsWell) {
  TimedPool timed;
  { Buffer large = timed.pool.Allocate(64 << 20); }
  timed.now += 2 * BufferPool::kPeakWindow;
  { Buffer small = timed.pool.Allocate(1 << 20); }
  EXPECT_EQ(timed.pool.idle_bytes(), size_t{1} << 20);
}

TEST(BufferPool, KeepsLessIdleWhileOthersHoldMemory) {
  BufferPool pool({.max_total_bytes = 10 << 20});
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 8; ++i) buffers.push_back(pool.Allocate(1 << 20));
  }
  EXPECT_EQ(pool.idle_bytes(), size_t{8} << 20);
  {
    const OutsideMemory message = pool.CountOutside(4 << 20);
    EXPECT_EQ(pool.idle_bytes(), size_t{6} << 20);
    OutsideMemory another = pool.CountOutside(20 << 20);
    EXPECT_EQ(pool.idle_bytes(), 0u);
    another = OutsideMemory();
    std::vector<Buffer> buffers;
    for (int i = 0; i < 6; ++i) buffers.push_back(pool.Allocate(1 << 20));
    buffers.clear();
    EXPECT_EQ(pool.idle_bytes(), size_t{6} << 20);
  }
  std::vector<Buffer> buffers;
  for (int i = 0; i < 8; ++i) buffers.push_back(pool.Allocate(1 << 20));
  buffers.clear();
  EXPECT_EQ(pool.idle_bytes(), size_t{8} << 20);
}

TEST(BufferPool, MovedFromBufferOwnsNothing) {
  BufferPool pool;
  Buffer a = pool.Allocate(100);
  Buffer b = std::move(a);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: the state after a move is what is tested
  EXPECT_EQ(a.size(), 0u);
  b = Buffer();
  EXPECT_EQ(pool.in_use_bytes(), 0u);
}

TEST(BufferPool, BufferOutlivesItsPool) {
  Buffer buffer;
  {
    BufferPool pool;
    buffer = pool.Allocate(1000);
  }
  std::memset(buffer.data(), 1, buffer.size());
  EXPECT_EQ(buffer.data()[999], std::byte{1});
}

TEST(BufferPool, ImpossibleSizeThrowsAndCountsNothing) {
  BufferPool pool;
  EXPECT_THROW(pool.Allocate(SIZE_MAX - 10), std::bad_alloc);
  EXPECT_EQ(pool.in_use_bytes(), 0u);
}

}  // namespace
}  // namespace attend::runtime
