// Aligned memory that is used again instead of being given back to the system after each call: fresh pages cost as
// much to touch as the copies that fill them. Thread-safe. A Buffer may outlive the pool.
//
// What the pool holds, in use and idle together, never exceeds the recent peak of what was in use: an idle block of
// another size makes room for a new one, longest unused first. A peak is forgotten after one to two kPeakWindow.
#ifndef ATTEND_SERVER_RUNTIME_BUFFER_POOL_H_
#define ATTEND_SERVER_RUNTIME_BUFFER_POOL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "server/runtime/block.h"

namespace attend::runtime {

inline constexpr size_t kBufferAlignment = kBlockAlignment;

namespace internal {
class PoolState;
}

// Owns one block; gives it back to its pool when destroyed. Move-only. The contents start unspecified.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }  // as asked for, bytes

  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  friend class BufferPool;
  Buffer(std::shared_ptr<internal::PoolState> pool, std::byte* data, size_t size, size_t capacity);
  void Release();

  std::shared_ptr<internal::PoolState> pool_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Memory of calls that is not the pool's, for as long as this lives: the pool keeps less idle meanwhile. Move-only.
class OutsideMemory {
 public:
  OutsideMemory() = default;
  OutsideMemory(OutsideMemory&& other) noexcept;
  OutsideMemory& operator=(OutsideMemory&& other) noexcept;
  ~OutsideMemory();

 private:
  friend class BufferPool;
  OutsideMemory(std::shared_ptr<internal::PoolState> pool, size_t bytes) : pool_(std::move(pool)), bytes_(bytes) {}

  std::shared_ptr<internal::PoolState> pool_;
  size_t bytes_ = 0;
};

class BufferPool {
 public:
  using Clock = std::chrono::steady_clock;

  struct Limits {
    size_t max_idle_bytes = size_t{256} << 20;  // of blocks that nobody uses
    size_t max_total_bytes = SIZE_MAX;          // idle blocks go where they, those in use and outside memory exceed it
  };
  static constexpr std::chrono::seconds kPeakWindow{10};

  BufferPool();
  explicit BufferPool(const Limits& limits, std::function<Clock::time_point()> now = Clock::now);

  // A block of `bytes`, aligned to kBufferAlignment. Throws std::bad_alloc where the system has none: callers bound
  // what they ask for beforehand.
  Buffer Allocate(size_t bytes);

  template <typename T>
  Buffer AllocateArray(size_t count) {
    return Allocate(count * sizeof(T));
  }

  OutsideMemory CountOutside(size_t bytes);

  // Gives back to the system what the recent peak no longer covers. Otherwise that happens when a block is
  // taken or returned: to be called now and then while nothing is.
  void Trim();

  size_t idle_bytes() const;    // kept for the next call
  size_t in_use_bytes() const;  // held by Buffers now
  size_t total_bytes() const;   // both, and outside memory

 private:
  std::shared_ptr<internal::PoolState> state_;
};

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_BUFFER_POOL_H_
