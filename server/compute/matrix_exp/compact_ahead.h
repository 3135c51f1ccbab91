// Memory that is fetched into the cache while something else is computed. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_AHEAD_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_AHEAD_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace attend::compute {

// Two ranges of memory of the same size, the first one first. A hint only: neither has to exist.
class CompactAhead {
 public:
  CompactAhead() = default;
  CompactAhead(const void* first, const void* second, size_t bytes)
      : bytes_(bytes), begins_{reinterpret_cast<uintptr_t>(first), reinterpret_cast<uintptr_t>(second)} {}

  // The next bytes, as far as there are any.
  void Fetch(size_t bytes) {
    const size_t end = std::min(fetched_ + bytes, 2 * bytes_);
    for (; fetched_ < end; fetched_ += kLine) {
      const uintptr_t at = fetched_ < bytes_ ? begins_[0] + fetched_ : begins_[1] + (fetched_ - bytes_);
      __builtin_prefetch(reinterpret_cast<const void*>(at));
    }
  }

 private:
  static constexpr size_t kLine = 64;

  size_t bytes_ = 0;  // of each
  size_t fetched_ = 0;
  std::array<uintptr_t, 2> begins_{};
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_AHEAD_H_
