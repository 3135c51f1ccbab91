// Memory straight from the system, for blocks large enough to be worth whole pages: what is given back is the system's
// again at once, whatever the C library keeps. Thread-safe.
#ifndef ATTEND_SERVER_RUNTIME_BLOCK_H_
#define ATTEND_SERVER_RUNTIME_BLOCK_H_

#include <cstddef>

namespace attend::runtime {

inline constexpr size_t kBlockAlignment = 64;

// `bytes` of memory aligned to kBlockAlignment. Throws std::bad_alloc.
std::byte* AllocateBlock(size_t bytes);

// REQUIRES: `block` came from AllocateBlock(bytes).
void FreeBlock(std::byte* block, size_t bytes);

}  // namespace attend::runtime

#endif  // ATTEND_SERVER_RUNTIME_BLOCK_H_
