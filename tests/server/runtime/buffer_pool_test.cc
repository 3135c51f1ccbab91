#include "server/runtime/buffer_pool.h"

#include <gtest/gtest.h>

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
  BufferPool pool(5000);
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 10; ++i) buffers.push_back(pool.Allocate(2048));
  }
  EXPECT_LE(pool.idle_bytes(), 5000u);
  EXPECT_GE(pool.idle_bytes(), 2048u);
  EXPECT_EQ(pool.in_use_bytes(), 0u);
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
