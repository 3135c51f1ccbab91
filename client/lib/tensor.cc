#include "client/lib/tensor.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace attend::client {
namespace {

static_assert(std::endian::native == std::endian::little, "raw tensors are little-endian, and so must the host be");

struct TypeRow {
  v1::DataType dtype;
  const char* name;
  int64_t bytes;
};
constexpr TypeRow kTypes[] = {
    {v1::DATA_TYPE_FLOAT32, "float32", 4},   {v1::DATA_TYPE_FLOAT64, "float64", 8},
    {v1::DATA_TYPE_BFLOAT16, "bfloat16", 2}, {v1::DATA_TYPE_FLOAT16, "float16", 2},
    {v1::DATA_TYPE_INT32, "int32", 4},       {v1::DATA_TYPE_BOOL, "bool", 1},
};

absl::Span<const int64_t> ShapeOf(const v1::Tensor& tensor) {
  return absl::MakeConstSpan(tensor.shape().data(), tensor.shape_size());
}

template <typename T>
std::string BytesOf(const T* elements, size_t count) {
  std::string bytes(count * sizeof(T), '\0');
  if (count > 0) std::memcpy(bytes.data(), elements, bytes.size());
  return bytes;
}

absl::Status CheckCount(absl::Span<const int64_t> shape, size_t got) {
  absl::StatusOr<int64_t> expected = ElementCount(shape);
  if (!expected.ok()) return expected.status();
  if (static_cast<uint64_t>(*expected) == got) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("got ", got, " elements, expected ", *expected, " for shape ", ShapeText(shape)));
}

template <typename T>
absl::StatusOr<v1::Tensor> MakeTyped(v1::DataType dtype, absl::Span<const int64_t> shape,
                                     absl::Span<const T> elements) {
  if (absl::Status status = CheckCount(shape, elements.size()); !status.ok()) return status;
  return MakeTensorFromBytes(dtype, shape, BytesOf(elements.data(), elements.size()));
}

// What the payload fields of one tensor hold.
struct Payload {
  int fields = 0;                                  // how many payload fields are set
  v1::DataType typed = v1::DATA_TYPE_UNSPECIFIED;  // of the typed values, if they are the payload
  size_t typed_count = 0;
};

Payload Inspect(const v1::Tensor& tensor) {
  Payload payload;
  if (!tensor.raw().empty()) ++payload.fields;
  const auto typed = [&payload](v1::DataType dtype, int count) {
    if (count == 0) return;
    ++payload.fields;
    payload.typed = dtype;
    payload.typed_count = static_cast<size_t>(count);
  };
  typed(v1::DATA_TYPE_FLOAT32, tensor.float_values_size());
  typed(v1::DATA_TYPE_FLOAT64, tensor.double_values_size());
  typed(v1::DATA_TYPE_INT32, tensor.int32_values_size());
  typed(v1::DATA_TYPE_BOOL, tensor.bool_values_size());
  return payload;
}

std::string TypedBytes(const v1::Tensor& tensor, v1::DataType dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT32:
      return BytesOf(tensor.float_values().data(), tensor.float_values_size());
    case v1::DATA_TYPE_FLOAT64:
      return BytesOf(tensor.double_values().data(), tensor.double_values_size());
    case v1::DATA_TYPE_INT32:
      return BytesOf(tensor.int32_values().data(), tensor.int32_values_size());
    default:
      return std::string(tensor.bool_values().begin(), tensor.bool_values().end());
  }
}

absl::Status CheckRaw(const v1::Tensor& tensor) {
  const int64_t element_bytes = ElementBytes(tensor.dtype());
  if (element_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("raw tensor has dtype ", DataTypeName(tensor.dtype())));
  }
  absl::StatusOr<int64_t> count = ElementCount(ShapeOf(tensor));
  if (!count.ok()) return count.status();
  // Dividing instead of multiplying: the product may pass int64.
  const auto raw_bytes = static_cast<int64_t>(tensor.raw().size());
  if (raw_bytes % element_bytes == 0 && raw_bytes / element_bytes == *count) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("raw has ", raw_bytes, " bytes, expected ", *count, " elements of ",
                                                 element_bytes, " bytes for shape ", ShapeText(tensor), " of ",
                                                 DataTypeName(tensor.dtype())));
}

template <typename T>
absl::StatusOr<std::vector<T>> ReadTyped(const v1::Tensor& tensor, v1::DataType wanted) {
  if (EffectiveDataType(tensor) != wanted) {
    return absl::InvalidArgumentError(
        absl::StrCat("got a ", DataTypeName(EffectiveDataType(tensor)), " tensor, expected ", DataTypeName(wanted)));
  }
  absl::StatusOr<std::string> bytes = RawBytes(tensor);
  if (!bytes.ok()) return bytes.status();
  std::vector<T> elements(bytes->size() / sizeof(T));
  if (!elements.empty()) std::memcpy(elements.data(), bytes->data(), bytes->size());
  return elements;
}

}  // namespace

int64_t ElementBytes(v1::DataType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return row.bytes;
  }
  return 0;
}

std::string DataTypeName(v1::DataType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return row.name;
  }
  if (dtype == v1::DATA_TYPE_UNSPECIFIED) return "unspecified";
  return absl::StrCat("unknown(", static_cast<int>(dtype), ")");
}

absl::StatusOr<v1::DataType> ParseDataType(absl::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (name == row.name) return row.dtype;
  }
  return absl::InvalidArgumentError(absl::StrCat("no such dtype: ", name));
}

std::string ShapeText(absl::Span<const int64_t> shape) { return absl::StrCat("[", absl::StrJoin(shape, ", "), "]"); }

std::string ShapeText(const v1::Tensor& tensor) { return ShapeText(ShapeOf(tensor)); }

absl::StatusOr<int64_t> ElementCount(absl::Span<const int64_t> shape) {
  if (shape.size() > kMaxDimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat("got ", shape.size(), " dimensions, expected at most ", kMaxDimensions));
  }
  for (const int64_t dimension : shape) {
    if (dimension < 0) return absl::InvalidArgumentError(absl::StrCat("negative dimension in ", ShapeText(shape)));
  }
  // An empty dimension makes the product 0 however large the others are.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t count = 1;
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(count, dimension, &count)) {
      return absl::InvalidArgumentError(absl::StrCat("shape ", ShapeText(shape), " has more than 2^63 elements"));
    }
  }
  return count;
}

absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const float> elements) {
  return MakeTyped(v1::DATA_TYPE_FLOAT32, shape, elements);
}

absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const double> elements) {
  return MakeTyped(v1::DATA_TYPE_FLOAT64, shape, elements);
}

absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const int32_t> elements) {
  return MakeTyped(v1::DATA_TYPE_INT32, shape, elements);
}

absl::StatusOr<v1::Tensor> MakeTensor(absl::Span<const int64_t> shape, absl::Span<const uint8_t> elements) {
  absl::StatusOr<v1::Tensor> tensor = MakeTyped(v1::DATA_TYPE_BOOL, shape, elements);
  if (!tensor.ok()) return tensor;
  for (char& byte : *tensor->mutable_raw()) byte = byte != 0 ? 1 : 0;
  return tensor;
}

absl::StatusOr<v1::Tensor> MakeTensorFromBytes(v1::DataType dtype, absl::Span<const int64_t> shape, std::string raw) {
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  tensor.set_raw(std::move(raw));
  if (absl::Status status = CheckRaw(tensor); !status.ok()) return status;
  return tensor;
}

absl::StatusOr<std::string> RawBytes(const v1::Tensor& tensor) {
  const Payload payload = Inspect(tensor);
  if (payload.fields > 1) return absl::InvalidArgumentError("tensor has several payloads, expected one");
  if (payload.typed_count == 0) {
    if (absl::Status status = CheckRaw(tensor); !status.ok()) return status;
    return tensor.raw();
  }
  if (tensor.dtype() != v1::DATA_TYPE_UNSPECIFIED && tensor.dtype() != payload.typed) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype is ", DataTypeName(tensor.dtype()), ", the values are ", DataTypeName(payload.typed)));
  }
  if (absl::Status status = CheckCount(ShapeOf(tensor), payload.typed_count); !status.ok()) return status;
  return TypedBytes(tensor, payload.typed);
}

v1::DataType EffectiveDataType(const v1::Tensor& tensor) {
  return tensor.dtype() != v1::DATA_TYPE_UNSPECIFIED ? tensor.dtype() : Inspect(tensor).typed;
}

absl::StatusOr<std::vector<float>> ReadFloats(const v1::Tensor& tensor) {
  return ReadTyped<float>(tensor, v1::DATA_TYPE_FLOAT32);
}

absl::StatusOr<std::vector<double>> ReadDoubles(const v1::Tensor& tensor) {
  return ReadTyped<double>(tensor, v1::DATA_TYPE_FLOAT64);
}

absl::StatusOr<std::vector<int32_t>> ReadInts(const v1::Tensor& tensor) {
  return ReadTyped<int32_t>(tensor, v1::DATA_TYPE_INT32);
}

absl::StatusOr<std::vector<uint8_t>> ReadBools(const v1::Tensor& tensor) {
  return ReadTyped<uint8_t>(tensor, v1::DATA_TYPE_BOOL);
}

}  // namespace attend::client
