// Random vectors that are the same in every call. Thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_PROBES_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_PROBES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "server/compute/matrix_exp/compact_exp.h"
#include "server/compute/matrix_exp/compact_layout.h"

namespace attend::compute {

// Entries of either sign, their moduli uniform in [0.5, 1.44]: mean square 1, and no few of them cancel exactly.
template <typename T>
constexpr std::array<T, static_cast<size_t>(kProbes* kLargestCompact)> MakeProbes() {
  std::array<T, static_cast<size_t>(kProbes * kLargestCompact)> entries{};
  uint64_t state = 0x9E3779B97F4A7C15u;
  for (T& entry : entries) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
    const double uniform = static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
    const double modulus = 0.5 + 0.94 * uniform;
    entry = static_cast<T>((state >> 39) % 2 == 0 ? modulus : -modulus);
  }
  return entries;
}

template <typename T>
inline constexpr auto kProbeEntries = MakeProbes<T>();

// [kLargestCompact] numbers; i < kProbes.
template <typename T>
const T* Probe(int64_t i) {
  return kProbeEntries<T>.data() + i * kLargestCompact;
}

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_PROBES_H_
