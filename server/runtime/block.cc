#include "server/runtime/block.h"

#include <sys/mman.h>

#include <new>

namespace attend::runtime {
namespace {

// Smaller blocks come from the C library: a mapping costs two system calls and rounds up to whole pages.
constexpr size_t kMapFrom = size_t{128} << 10;
// Where the system grants huge pages to who asks, large blocks are touched with fewer faults and read with fewer
// misses of the TLB.
constexpr size_t kHugePagesFrom = size_t{4} << 20;

}  // namespace

std::byte* AllocateBlock(size_t bytes) {
  if (bytes < kMapFrom) return static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kBlockAlignment}));
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  if (bytes >= kHugePagesFrom) madvise(block, bytes, MADV_HUGEPAGE);  // refused: small pages do
  return static_cast<std::byte*>(block);
}

void FreeBlock(std::byte* block, size_t bytes) {
  if (bytes < kMapFrom) {
    ::operator delete (block, std::align_val_t{kBlockAlignment});
  } else {
    munmap(block, bytes);
  }
}

}  // namespace attend::runtime
