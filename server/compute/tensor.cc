#include "server/compute/tensor.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace attend::compute {

size_t SizeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return 8;
    case DType::kFloat32:
    case DType::kInt32:
      return 4;
    case DType::kBFloat16:
    case DType::kFloat16:
      return 2;
    case DType::kBool:
      return 1;
  }
  return 1;
}

absl::string_view NameOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "FLOAT32";
    case DType::kFloat64:
      return "FLOAT64";
    case DType::kBFloat16:
      return "BFLOAT16";
    case DType::kFloat16:
      return "FLOAT16";
    case DType::kInt32:
      return "INT32";
    case DType::kBool:
      return "BOOL";
  }
  return "?";
}

bool IsFloating(DType dtype) { return dtype != DType::kInt32 && dtype != DType::kBool; }

std::optional<int64_t> ElementCount(absl::Span<const int64_t> shape) {
  // A zero anywhere makes the product zero, however large the rest is.
  for (int64_t dimension : shape) {
    if (dimension == 0) return 0;
  }
  int64_t count = 1;
  for (int64_t dimension : shape) {
    if (__builtin_mul_overflow(count, dimension, &count)) return std::nullopt;
  }
  return count;
}

std::string ShapeToString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

Tensor::Tensor(DType dtype, Shape shape, runtime::BufferPool& pool)
    : dtype_(dtype), shape_(std::move(shape)), buffer_(pool.Allocate(bytes())) {}

}  // namespace attend::compute
