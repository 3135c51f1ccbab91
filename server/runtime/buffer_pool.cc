#include "server/runtime/buffer_pool.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace attend::runtime {
namespace internal {

using Clock = BufferPool::Clock;

// Blocks of equal capacity share a free list. Capacities are rounded up to one of eight steps per power of two, which
// wastes at most an eighth and lets calls of similar sizes share blocks.
class PoolState {
 public:
  PoolState(const BufferPool::Limits& limits, std::function<Clock::time_point()> now)
      : limits_(limits), now_(std::move(now)), window_began_(now_()) {}
  ~PoolState() { Free(TakeIdleBeyond(0)); }
  PoolState(const PoolState&) = delete;
  PoolState& operator=(const PoolState&) = delete;

  std::byte* Take(size_t capacity) {
    std::vector<Idle> surplus;
    {
      std::lock_guard lock(mutex_);
      in_use_bytes_ += capacity;
      UpdatePeak();
      if (std::byte* block = TakeIdle(capacity)) return block;
      surplus = TakeIdleBeyond(AllowedIdle());
    }
    Free(surplus);
    return AllocateOrForget(capacity);
  }

  void GiveBack(std::byte* block, size_t capacity) {
    std::vector<Idle> surplus;
    {
      std::lock_guard lock(mutex_);
      UpdatePeak();  // what is in use now still counts
      in_use_bytes_ -= capacity;
      idle_[capacity].push_back({block, capacity, next_age_++});
      idle_bytes_ += capacity;
      surplus = TakeIdleBeyond(AllowedIdle());
    }
    Free(surplus);
  }

  void Trim() { CountOutside(0, 0); }

  void CountOutside(size_t more, size_t less) {
    std::vector<Idle> surplus;
    {
      std::lock_guard lock(mutex_);
      outside_bytes_ = outside_bytes_ + more - less;
      UpdatePeak();
      surplus = TakeIdleBeyond(AllowedIdle());
    }
    Free(surplus);
  }

  size_t idle_bytes() const {
    std::lock_guard lock(mutex_);
    return idle_bytes_;
  }
  size_t in_use_bytes() const {
    std::lock_guard lock(mutex_);
    return in_use_bytes_;
  }
  size_t total_bytes() const {
    std::lock_guard lock(mutex_);
    return in_use_bytes_ + idle_bytes_ + outside_bytes_;
  }

 private:
  struct Idle {
    std::byte* block;
    size_t capacity;
    uint64_t age;  // least: unused for longest
  };
  using FreeList = std::deque<Idle>;  // oldest first

  std::byte* AllocateOrForget(size_t capacity) {
    try {
      return AllocateBlock(capacity);
    } catch (const std::bad_alloc&) {
      std::lock_guard lock(mutex_);
      in_use_bytes_ -= capacity;
      throw;
    }
  }
  static void Free(const std::vector<Idle>& blocks) {
    for (const Idle& idle : blocks) FreeBlock(idle.block, idle.capacity);
  }

  // These hold mutex_.

  std::byte* TakeIdle(size_t capacity) {
    const auto list = idle_.find(capacity);
    if (list == idle_.end()) return nullptr;
    std::byte* block = list->second.back().block;
    list->second.pop_back();
    if (list->second.empty()) idle_.erase(list);
    idle_bytes_ -= capacity;
    return block;
  }

  std::vector<Idle> TakeIdleBeyond(size_t bytes) {
    const auto older = [](const auto& a, const auto& b) { return a.second.front().age < b.second.front().age; };
    std::vector<Idle> taken;
    while (idle_bytes_ > bytes) {
      const auto oldest = std::min_element(idle_.begin(), idle_.end(), older);
      taken.push_back(oldest->second.front());
      idle_bytes_ -= oldest->first;
      oldest->second.pop_front();
      if (oldest->second.empty()) idle_.erase(oldest);
    }
    return taken;
  }

  void UpdatePeak() {
    const Clock::time_point now = now_();
    if (now - window_began_ >= BufferPool::kPeakWindow) {
      last_window_peak_ = now - window_began_ >= 2 * BufferPool::kPeakWindow ? in_use_bytes_ : window_peak_;
      window_peak_ = in_use_bytes_;
      window_began_ = now;
    }
    window_peak_ = std::max(window_peak_, in_use_bytes_);
  }

  size_t AllowedIdle() const {
    const size_t taken = in_use_bytes_ + outside_bytes_;
    const size_t room = limits_.max_total_bytes > taken ? limits_.max_total_bytes - taken : 0;
    return std::min({limits_.max_idle_bytes, room, std::max(window_peak_, last_window_peak_) - in_use_bytes_});
  }

  const BufferPool::Limits limits_;
  const std::function<Clock::time_point()> now_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  std::map<size_t, FreeList> idle_;  // by capacity; no list is empty
  size_t idle_bytes_ = 0;
  size_t in_use_bytes_ = 0;
  size_t outside_bytes_ = 0;
  Clock::time_point window_began_;
  size_t window_peak_ = 0;       // of in_use_bytes_
  size_t last_window_peak_ = 0;  // of the window before
  uint64_t next_age_ = 0;
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

OutsideMemory::OutsideMemory(OutsideMemory&& other) noexcept
    : pool_(std::move(other.pool_)), bytes_(std::exchange(other.bytes_, 0)) {}

OutsideMemory& OutsideMemory::operator=(OutsideMemory&& other) noexcept {
  if (this != &other) {
    if (pool_ != nullptr) pool_->CountOutside(0, bytes_);
    pool_ = std::move(other.pool_);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

OutsideMemory::~OutsideMemory() {
  if (pool_ != nullptr) pool_->CountOutside(0, bytes_);
}

BufferPool::BufferPool() : BufferPool(Limits()) {}

BufferPool::BufferPool(const Limits& limits, std::function<Clock::time_point()> now)
    : state_(std::make_shared<internal::PoolState>(limits, std::move(now))) {}

OutsideMemory BufferPool::CountOutside(size_t bytes) {
  state_->CountOutside(bytes, 0);
  return OutsideMemory(state_, bytes);
}

Buffer BufferPool::Allocate(size_t bytes) {
  const size_t capacity = CapacityFor(bytes);
  return Buffer(state_, state_->Take(capacity), bytes, capacity);
}

void BufferPool::Trim() { state_->Trim(); }

size_t BufferPool::idle_bytes() const { return state_->idle_bytes(); }
size_t BufferPool::in_use_bytes() const { return state_->in_use_bytes(); }
size_t BufferPool::total_bytes() const { return state_->total_bytes(); }

}  // namespace attend::runtime
