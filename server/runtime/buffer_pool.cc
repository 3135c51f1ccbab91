#include "server/runtime/buffer_pool.h"

#include <bit>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace attend::runtime {
namespace internal {

// Blocks of equal capacity share a free list. Capacities are rounded up to one of eight steps per power of two, which
// wastes at most an eighth and lets calls of similar sizes share blocks.
class PoolState {
 public:
  explicit PoolState(size_t max_idle_bytes) : max_idle_bytes_(max_idle_bytes) {}
  ~PoolState() {
    for (auto& [capacity, blocks] : idle_) {
      for (std::byte* block : blocks) Free(block);
    }
  }
  PoolState(const PoolState&) = delete;
  PoolState& operator=(const PoolState&) = delete;

  std::byte* Take(size_t capacity) {
    {
      std::lock_guard lock(mutex_);
      in_use_bytes_ += capacity;
      auto it = idle_.find(capacity);
      if (it != idle_.end() && !it->second.empty()) {
        std::byte* block = it->second.back();
        it->second.pop_back();
        idle_bytes_ -= capacity;
        return block;
      }
    }
    return AllocateOrForget(capacity);
  }

  void GiveBack(std::byte* block, size_t capacity) {
    {
      std::lock_guard lock(mutex_);
      in_use_bytes_ -= capacity;
      if (idle_bytes_ + capacity <= max_idle_bytes_) {
        idle_[capacity].push_back(block);
        idle_bytes_ += capacity;
        return;
      }
    }
    Free(block);
  }

  size_t idle_bytes() const {
    std::lock_guard lock(mutex_);
    return idle_bytes_;
  }
  size_t in_use_bytes() const {
    std::lock_guard lock(mutex_);
    return in_use_bytes_;
  }

 private:
  std::byte* AllocateOrForget(size_t capacity) {
    try {
      return static_cast<std::byte*>(::operator new (capacity, std::align_val_t{kBufferAlignment}));
    } catch (const std::bad_alloc&) {
      std::lock_guard lock(mutex_);
      in_use_bytes_ -= capacity;
      throw;
    }
  }
  static void Free(std::byte* block) { ::operator delete (block, std::align_val_t{kBufferAlignment}); }

  const size_t max_idle_bytes_;
  mutable std::mutex mutex_;
  std::map<size_t, std::vector<std::byte*>> idle_;  // guarded by mutex_
  size_t idle_bytes_ = 0;                           // guarded by mutex_
  size_t in_use_bytes_ = 0;                         // guarded by mutex_
};

}  // namespace internal

namespace {

size_t CapacityFor(size_t bytes) {
  constexpr size_t kSmallest = 512;
  if (bytes <= kSmallest) return kSmallest;
  const size_t step = std::bit_floor(bytes - 1) / 8;
  if (bytes > SIZE_MAX - step) throw std::bad_alloc();
  return (bytes + step - 1) / step * step;
}

}  // namespace

Buffer::Buffer(std::shared_ptr<internal::PoolState> pool, std::byte* data, size_t size, size_t capacity)
    : pool_(std::move(pool)), data_(data), size_(size), capacity_(capacity) {}

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::move(other.pool_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    Release();
    pool_ = std::move(other.pool_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
  }
  return *this;
}

Buffer::~Buffer() { Release(); }

void Buffer::Release() {
  if (data_ != nullptr) pool_->GiveBack(data_, capacity_);
  data_ = nullptr;
}

BufferPool::BufferPool(size_t max_idle_bytes) : state_(std::make_shared<internal::PoolState>(max_idle_bytes)) {}

Buffer BufferPool::Allocate(size_t bytes) {
  const size_t capacity = CapacityFor(bytes);
  return Buffer(state_, state_->Take(capacity), bytes, capacity);
}

size_t BufferPool::idle_bytes() const { return state_->idle_bytes(); }
size_t BufferPool::in_use_bytes() const { return state_->in_use_bytes(); }

}  // namespace attend::runtime
