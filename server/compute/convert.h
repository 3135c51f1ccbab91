// Conversions between element types, and the check for NaN and infinity. Thread-safe; vectorized for the CPU at hand.
// Pointers need no alignment. float32 -> bfloat16 / float16 rounds to nearest, ties to even; float16 overflows to
// infinity.
#ifndef ATTEND_SERVER_COMPUTE_CONVERT_H_
#define ATTEND_SERVER_COMPUTE_CONVERT_H_

#include <cstddef>
#include <cstdint>

#include "server/compute/tensor.h"

namespace attend::compute {

void BFloat16ToFloat(const uint16_t* from, float* to, size_t count);
void Float16ToFloat(const uint16_t* from, float* to, size_t count);

bool AllFinite(const float* values, size_t count);
bool AllFinite(const double* values, size_t count);

// Each float becomes the nearest that BFLOAT16 or FLOAT16 has (infinity where it overflows); other types change
// nothing.
void RoundTo(DType to, float* values, size_t count);

// A copy of `from` in another floating type. REQUIRES: `from` is FLOAT32 or FLOAT64, `to` is floating.
Tensor ConvertTo(DType to, const Tensor& from, runtime::BufferPool& pool);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_CONVERT_H_
