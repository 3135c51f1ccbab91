#include "server/app/housekeeper.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>

namespace attend::app {
namespace {

constexpr std::chrono::milliseconds kInterval{100};
constexpr int kLooksUntilQuiet = 10;
constexpr int64_t kLeastSlackBytes = 8 << 20;

// 0 where the system does not tell.
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all_pages = 0, resident_pages = 0;
  statm >> all_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

}  // namespace

Housekeeper::Housekeeper(runtime::BufferPool& buffers, const runtime::Admission& admission)
    : buffers_(buffers), admission_(admission), base_bytes_(ResidentBytes()), thread_([this] { Run(); }) {}

Housekeeper::~Housekeeper() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stop_changed_.notify_all();
  thread_.join();
}

void Housekeeper::Run() {
  uint64_t arrived_before = 0;
  int quiet_looks = 0;
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, kInterval, [this] { return stop_; })) {
    buffers_.Trim();
    const uint64_t arrived = admission_.arrived_calls();
    const bool quiet = arrived == arrived_before && admission_.admitted_calls() == 0;
    arrived_before = arrived;
    quiet_looks = quiet ? quiet_looks + 1 : 0;
    if (!quiet) TrimHeap();
    // Once more after some time, for gRPC may give back late what refused calls held.
    if (quiet_looks == kLooksUntilQuiet || quiet_looks == 10 * kLooksUntilQuiet) malloc_trim(0);
  }
}

// Between the blocks that stay, the C library keeps as much as messages ever took at once. That is what makes the next
// ones fast, and it is kept up to an eighth of the budget beyond what calls have now.
void Housekeeper::TrimHeap() {
  const auto excess = [this] { return ResidentBytes() - base_bytes_ - static_cast<int64_t>(buffers_.total_bytes()); };
  if (excess() <= std::max(kLeastSlackBytes, static_cast<int64_t>(admission_.budget_bytes() / 8))) return;
  malloc_trim(0);
  base_bytes_ += std::max<int64_t>(0, excess());  // what trimming does not bring back is not the calls'
}

}  // namespace attend::app
