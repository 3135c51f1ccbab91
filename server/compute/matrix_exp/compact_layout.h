// How matrices lie in the scratch memory of compact_exp.h, and which it takes. Constants and pure functions.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LAYOUT_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LAYOUT_H_

#include <cstdint>
#include <type_traits>

namespace attend::compute {

// Entries of a vector of 64 bytes: whatever the instruction set, the layout is the same.
template <typename T>
inline constexpr int64_t kVectorEntries = 64 / static_cast<int64_t>(sizeof(T));

// Rows are whole vectors. Those of a power of two in bytes would share a few sets of the cache.
template <typename T>
int64_t CompactStride(int64_t n) {
  const int64_t entries = n <= 4 ? 4 : n <= 8 ? 8 : (n + kVectorEntries<T> - 1) / kVectorEntries<T> * kVectorEntries<T>;
  return entries > 32 && entries % 32 == 0 ? entries + kVectorEntries<T> : entries;
}

inline constexpr int kCompactMatrices = 9;

// Between one matrix and the next: the same entries of all of them would share a few sets, too.
template <typename T>
inline constexpr int64_t kCompactGap = 3 * kVectorEntries<T>;

// Up to here whatever is not a product counts.
inline constexpr int64_t kFewRows = 16;

// Vectors whose products with powers show how fast those grow. Products of so few rows cost little next to one of n.
inline constexpr int kProbes = 2;

// Of sums of columns, those of the matrix itself among them, and of probes before and after a product.
inline constexpr int kCompactRows = 2 + 2 * kProbes;

// Beyond these the numbers need the room that TaylorExp gives them.
template <typename T>
inline constexpr double kModerateNorm = std::is_same_v<T, float> ? 0x1p10 : 0x1p24;
template <typename T>
inline constexpr double kModerateResult = std::is_same_v<T, float> ? 0x1p40 : 0x1p300;

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_LAYOUT_H_
