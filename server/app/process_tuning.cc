#include "server/app/process_tuning.h"

#include <malloc.h>
#include <signal.h>

#include <algorithm>

#include "absl/synchronization/mutex.h"

namespace attend::app {
namespace {

constexpr uint64_t kLeastTrimBytes = 128 << 10;  // the C library's own choice
constexpr uint64_t kMostTrimBytes = 64 << 20;
constexpr uint64_t kMostMapBytes = 32 << 20;  // it accepts no larger ones
constexpr int kLeastHeaps = 2;

}  // namespace

void TuneProcess(uint64_t memory_budget_bytes, int compute_threads) {
  const uint64_t kept = std::clamp(memory_budget_bytes / 16, kLeastTrimBytes, kMostTrimBytes);
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(kept));
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(std::min(kept, kMostMapBytes)));
  mallopt(M_ARENA_MAX, std::max(kLeastHeaps, compute_threads));
  signal(SIGXFSZ, SIG_IGN);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

}  // namespace attend::app
