#include "server/rpc/wire_writer.h"

#include <utility>

#include "server/rpc/wire_cursor.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Tensor;

// Below this a copy costs less than a slice of its own.
constexpr size_t kCopyBelowBytes = 4096;

void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

// Tag and length of a length-delimited field; its body follows.
std::string FieldStart(int number, uint64_t body_bytes) {
  std::string start;
  AppendVarint(static_cast<uint64_t>(number) << 3 | static_cast<uint64_t>(WireType::kLengthDelimited), start);
  AppendVarint(body_bytes, start);
  return start;
}

v1::DataType ToWire(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return v1::DATA_TYPE_FLOAT32;
    case DType::kFloat64:
      return v1::DATA_TYPE_FLOAT64;
    case DType::kBFloat16:
      return v1::DATA_TYPE_BFLOAT16;
    case DType::kFloat16:
      return v1::DATA_TYPE_FLOAT16;
    case DType::kInt32:
      return v1::DATA_TYPE_INT32;
    case DType::kBool:
      return v1::DATA_TYPE_BOOL;
  }
  return v1::DATA_TYPE_UNSPECIFIED;
}

v1::Tensor WithoutElements(const Tensor& tensor) {
  v1::Tensor header;
  header.set_dtype(ToWire(tensor.dtype()));
  for (int64_t dimension : tensor.shape()) header.add_shape(dimension);
  return header;
}

// Everything of a Tensor message up to the bytes of `raw`.
std::string TensorHeaderBytes(const Tensor& tensor) {
  std::string bytes = WithoutElements(tensor).SerializeAsString();
  if (tensor.bytes() > 0) bytes += FieldStart(v1::Tensor::kRawFieldNumber, tensor.bytes());
  return bytes;
}

}  // namespace

void WireWriter::AddTensor(int number, Tensor tensor) {
  if (sink_ != nullptr) {
    const std::string placed = PlacedTensor(tensor);
    AppendBytes(FieldStart(number, placed.size()));
    return AppendBytes(placed);
  }
  const std::string header = TensorHeaderBytes(tensor);
  AppendBytes(FieldStart(number, header.size() + tensor.bytes()));
  AppendTensorBody(header, std::move(tensor));
}

void WireWriter::AddTensorEntry(int number, absl::string_view key, Tensor tensor) {
  constexpr int kKey = 1;
  constexpr int kValue = 2;
  const std::string header = sink_ != nullptr ? PlacedTensor(tensor) : TensorHeaderBytes(tensor);
  const size_t body = header.size() + (sink_ != nullptr ? 0 : tensor.bytes());
  std::string entry = FieldStart(kKey, key.size());
  entry.append(key.data(), key.size());
  entry += FieldStart(kValue, body);
  AppendBytes(FieldStart(number, entry.size() + body));
  AppendBytes(entry);
  if (sink_ != nullptr) return AppendBytes(header);
  AppendTensorBody(header, std::move(tensor));
}

void WireWriter::AddMessage(int number, const google::protobuf::MessageLite& message) {
  const std::string body = message.SerializeAsString();
  AppendBytes(FieldStart(number, body.size()));
  AppendBytes(body);
}

void WireWriter::AddFields(const google::protobuf::MessageLite& message) { AppendBytes(message.SerializeAsString()); }

std::vector<WirePiece> WireWriter::Finish() {
  if (!text_.empty()) pieces_.emplace_back(std::move(text_));
  text_.clear();
  bytes_ = 0;
  return std::exchange(pieces_, {});
}

std::string WireWriter::PlacedTensor(const Tensor& tensor) {
  v1::Tensor message = WithoutElements(tensor);
  *message.mutable_shared() = sink_->Place(tensor);
  return message.SerializeAsString();
}

void WireWriter::AppendBytes(absl::string_view bytes) {
  text_.append(bytes.data(), bytes.size());
  bytes_ += bytes.size();
}

void WireWriter::AppendTensorBody(absl::string_view header, Tensor tensor) {
  AppendBytes(header);
  const size_t body = tensor.bytes();
  if (body < kCopyBelowBytes) {
    AppendBytes({tensor.data<char>(), body});
    return;
  }
  pieces_.emplace_back(std::exchange(text_, {}));
  pieces_.emplace_back(tensor.TakeBuffer());
  bytes_ += body;
}

}  // namespace attend::rpc
