// Dense row-major tensors: an element type, a shape and the memory. Not thread-safe; distinct objects are independent.
#ifndef ATTEND_SERVER_COMPUTE_TENSOR_H_
#define ATTEND_SERVER_COMPUTE_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/runtime/buffer_pool.h"

namespace attend::compute {

enum class DType { kFloat32, kFloat64, kBFloat16, kFloat16, kInt32, kBool };

size_t SizeOf(DType dtype);             // bytes of one element
absl::string_view NameOf(DType dtype);  // "FLOAT32", as in the contract
bool IsFloating(DType dtype);

inline constexpr int kMaxDimensions = 8;
using Shape = absl::InlinedVector<int64_t, kMaxDimensions>;

// The product of all dimensions (1 for a scalar), or nullopt where it does not fit in int64.
std::optional<int64_t> ElementCount(absl::Span<const int64_t> shape);
std::string ShapeToString(absl::Span<const int64_t> shape);  // "[2, 3, 5]"

template <typename T>
constexpr DType DTypeOf();
template <>
constexpr DType DTypeOf<float>() {
  return DType::kFloat32;
}
template <>
constexpr DType DTypeOf<double>() {
  return DType::kFloat64;
}

// Owns its elements. An empty (default) Tensor has no memory and stands for "absent".
class Tensor {
 public:
  Tensor() = default;
  // REQUIRES: the shape's element count times the element size fits in size_t. The elements start unspecified.
  Tensor(DType dtype, Shape shape, runtime::BufferPool& pool);
  // REQUIRES: `buffer` holds the shape's elements.
  Tensor(DType dtype, Shape shape, runtime::Buffer buffer)
      : dtype_(dtype), shape_(std::move(shape)), buffer_(std::move(buffer)) {}

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t dim(int i) const { return shape_[i]; }
  int64_t size() const { return *ElementCount(shape_); }
  size_t bytes() const { return static_cast<size_t>(size()) * SizeOf(dtype_); }

  template <typename T>
  T* data() const {
    return buffer_.as<T>();
  }
  // Gives the memory away; the tensor is empty afterwards.
  runtime::Buffer TakeBuffer() { return std::move(buffer_); }

 private:
  DType dtype_ = DType::kFloat32;
  Shape shape_;
  runtime::Buffer buffer_;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_TENSOR_H_
