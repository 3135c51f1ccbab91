// attend.v1.Tensor messages from shapes and numbers, and back. Pure functions, thread-safe.
//
// Tensors made here carry `raw`: row-major, little-endian, without gaps. Tensors read here may carry any one payload
// (raw or the typed values); everything is checked, nothing is converted unless a function's comment says so.
// Errors: INVALID_ARGUMENT with what came and what was expected.
#ifndef ATTEND_CLIENT_LIB_TENSOR_H_
#define ATTEND_CLIENT_LIB_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "attend/v1/attend.pb.h"

namespace attend::client {

inline constexpr int kMaxDimensions = 8;

// Bytes of one element in `raw`; 0 for a type that is unspecified or unknown.
int64_t ElementBytes(v1::DataType dtype);

// "float32", "bfloat16", ...; "unspecified" or "unknown(17)" otherwise.
std::string DataTypeName(v1::DataType dtype);

// The inverse of DataTypeName.
absl::StatusOr<v1::DataType> ParseDataType(absl::string_view name);

// "[4, 14, 14]"; a scalar is "[]".
std::string ShapeText(absl::Span<const int64_t> shape);
std::string ShapeText(const v1::Tensor& tensor);

// The product of `shape`; an error for a negative dimension, more than 8 dimensions, or a product beyond int64.
absl::StatusOr<int64_t> ElementCount(absl::Span<const int64_t> shape);

// One tensor of `shape` from its elements; an error where their number is not the product of `shape`.
absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const float> elements);
absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const double> elements);
absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const int32_t> elements);
// BOOL: any element but 0 is true.
absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const uint8_t> elements);

// One tensor of any type from bytes that are already in the wire's form; takes the bytes over without a copy.
absl::StatusOr<v1::Tensor> MakeTensorFromBytes(v1::DataType dtype, absl::Span<const int64_t> shape, std::string raw);

// The elements as the wire's bytes, whatever the payload. An error where the tensor has several payloads or none,
// the payload's length is not what shape and dtype say, or dtype and payload disagree.
absl::StatusOr<std::string> RawBytes(const v1::Tensor& tensor);

// The dtype the elements have: the tensor's own, or the one that its typed values imply.
v1::DataType EffectiveDataType(const v1::Tensor& tensor);

// The elements of a tensor that has exactly this type.
absl::StatusOr<std::vector<float>> ReadFloats(const v1::Tensor& tensor);    // FLOAT32
absl::StatusOr<std::vector<double>> ReadDoubles(const v1::Tensor& tensor);  // FLOAT64
absl::StatusOr<std::vector<int32_t>> ReadInts(const v1::Tensor& tensor);    // INT32
absl::StatusOr<std::vector<uint8_t>> ReadBools(const v1::Tensor& tensor);   // BOOL, each 0 or 1

}  // namespace attend::client

#endif  // ATTEND_CLIENT_LIB_TENSOR_H_
