// Tensors from one floating type to another, on the client's side: bfloat16 and float16 have no C++ or .npy spelling
// that everybody shares. Pure functions, thread-safe.
#ifndef ATTEND_CLIENT_LIB_CONVERT_H_
#define ATTEND_CLIENT_LIB_CONVERT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"

namespace attend::client {

// One IEEE binary16 or bfloat16 number, rounded to the nearest (ties to even); too large becomes infinity, NaN stays.
uint16_t EncodeFloat16(double value);
uint16_t EncodeBfloat16(double value);
double DecodeFloat16(uint16_t bits);   // exact
double DecodeBfloat16(uint16_t bits);  // exact

// FLOAT32, FLOAT64, BFLOAT16 and FLOAT16.
bool IsFloating(v1::DataType dtype);

// The elements of any floating tensor, widened exactly. INVALID_ARGUMENT for other types or a malformed tensor.
absl::StatusOr<std::vector<double>> WidenToDoubles(const v1::Tensor& tensor);

// The same tensor in another floating type, as `raw`; rounds to the nearest. Errors as WidenToDoubles.
absl::StatusOr<v1::Tensor> ConvertTensor(const v1::Tensor& tensor, v1::DataType to);

}  // namespace attend::client

#endif  // ATTEND_CLIENT_LIB_CONVERT_H_
