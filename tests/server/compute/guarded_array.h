// Memory for tests of kernels: its last element ends where a page that nobody may touch begins, so that a read or a
// write past the end faults, and what lies before its first element is watched.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_GUARDED_ARRAY_H_
#define ATTEND_TESTS_SERVER_COMPUTE_GUARDED_ARRAY_H_

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

namespace attend::compute {

template <typename T>
class GuardedArray {
 public:
  // All elements, and the memory before them, start as `filler`.
  GuardedArray(int64_t elements, T filler) : elements_(static_cast<size_t>(elements)), filler_(filler) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t usable = elements_ * sizeof(T) / page * page + page;
    bytes_ = usable + page;
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    first_ = static_cast<T*>(memory);
    end_ = first_ + usable / sizeof(T);
    if (mprotect(end_, page, PROT_NONE) != 0) throw std::bad_alloc();
    std::fill(first_, end_, filler);
  }
  ~GuardedArray() { munmap(first_, bytes_); }
  GuardedArray(const GuardedArray&) = delete;
  GuardedArray& operator=(const GuardedArray&) = delete;

  T* data() const { return end_ - elements_; }
  size_t size() const { return elements_; }
  bool empty() const { return elements_ == 0; }
  const T* begin() const { return data(); }
  const T* end() const { return end_; }
  T& operator[](int64_t i) const { return data()[i]; }
  bool BeforeIsUntouched() const {
    return std::all_of(first_, data(), [&](T element) { return element == filler_; });
  }

 private:
  size_t elements_;
  T filler_;
  size_t bytes_;
  T* first_;
  T* end_;
};

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_GUARDED_ARRAY_H_
