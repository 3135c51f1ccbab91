#include "tests/bench/machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "server/compute/gemm.h"
#include "tests/bench/timing.h"

namespace attend::bench {

SgemmPeak::SgemmPeak() : a_(kSide * kSide, 0.5f), b_(kSide * kSide, 0.25f), c_(kSide * kSide) {
  for (int i = 0; i < 5; ++i) Run();
}

void SgemmPeak::Run() {
  const double seconds = ThreadSeconds([&] {
    const compute::Operand<float> a(a_.data(), kSide, kSide, kSide);
    const compute::Operand<float> b(b_.data(), kSide, kSide, kSide);
    if (!compute::Gemm(1.0f, a, b, 0.0f, compute::Matrix<float>(c_.data(), kSide, kSide)).ok()) std::abort();
  });
  best_ = std::max(best_, 2.0 * kSide * kSide * kSide / seconds);
}

double MedianSecondsBeside(SgemmPeak& peak, double seconds, absl::FunctionRef<double()> run) {
  const int repetitions = RepetitionsFor(seconds, [&] { run(); });
  const int peak_runs = std::min(repetitions, 10);
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) {
    if (i * peak_runs / repetitions != (i - 1) * peak_runs / repetitions) peak.Run();
    times.push_back(run());
  }
  return Median(std::move(times));
}

ReadBandwidth::ReadBandwidth() : memory_(pool_.Allocate(size_t{512} << 20)) {
  // No two pages alike: a hypervisor may keep one for all that are, and that one stays in the cache.
  uint64_t random = 88172645463325252;
  for (size_t i = 0; i < memory_.size(); i += sizeof(random)) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    const uint64_t without_ones = random | 0x0202020202020202;
    std::memcpy(memory_.data() + i, &without_ones, sizeof(random));
  }
  for (int i = 0; i < 3; ++i) Run();
}

void ReadBandwidth::Run() {
  // The C library looks for a byte that is not there with the widest loads that the CPU has.
  const void* found = nullptr;
  const double seconds = Seconds([&] { found = std::memchr(memory_.data(), 1, memory_.size()); });
  if (found != nullptr) std::abort();
  seconds_.push_back(seconds);
}

double ReadBandwidth::bytes_per_second() const { return static_cast<double>(memory_.size()) / Median(seconds_); }

}  // namespace attend::bench
