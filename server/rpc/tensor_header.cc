#include "server/rpc/tensor_header.h"

#include <array>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "attend/v1/attend.pb.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {
namespace {

using compute::DType;

// An empty tensor costs no bytes, whatever its other dimensions say; what is done for each of their rows costs time.
constexpr int64_t kMostEmptyRows = int64_t{1} << 20;

// A tensor as it came, nothing checked but the wire format.
struct RawHeader {
  int32_t dtype = 0;
  compute::Shape shape;     // the first dimensions that came
  uint64_t dimensions = 0;  // how many came
  WireCursor raw;
  v1::SharedMemory shared;
  std::array<uint64_t, 9> elements = {};  // by payload field
};

absl::string_view NameOf(Payload payload) {
  switch (payload) {
    case Payload::kNone:
      return "no payload";
    case Payload::kRaw:
      return "raw";
    case Payload::kFloats:
      return "float_values";
    case Payload::kDoubles:
      return "double_values";
    case Payload::kInt32s:
      return "int32_values";
    case Payload::kBools:
      return "bool_values";
    case Payload::kShared:
      return "shared";
  }
  return "?";
}

void AddDimension(uint64_t dimension, RawHeader& header) {
  ++header.dimensions;
  if (header.dimensions <= compute::kMaxDimensions) header.shape.push_back(static_cast<int64_t>(dimension));
}

bool ReadShape(const WireTag& tag, WireCursor& in, RawHeader& header) {
  uint64_t dimension;
  if (tag.type == WireType::kVarint) {
    if (!in.ReadVarint(dimension)) return false;
    AddDimension(dimension, header);
    return true;
  }
  WireCursor packed;
  if (tag.type != WireType::kLengthDelimited) return in.SkipValue(tag);
  if (!in.TakeLengthDelimited(packed)) return false;
  while (!packed.done()) {
    if (!packed.ReadVarint(dimension)) return false;
    AddDimension(dimension, header);
  }
  return true;
}

// Counts the elements of a repeated scalar field; `width` is their size on the wire, 0 for varints.
bool CountElements(const WireTag& tag, WireCursor& in, WireType single, uint64_t width, uint64_t& count) {
  if (tag.type == single) {
    ++count;
    return in.SkipValue(tag);
  }
  WireCursor packed;
  if (tag.type != WireType::kLengthDelimited) return in.SkipValue(tag);
  if (!in.TakeLengthDelimited(packed)) return false;
  if (width > 0) {
    count += packed.remaining() / width;
    return packed.remaining() % width == 0;
  }
  uint64_t ignored;
  while (!packed.done()) {
    if (!packed.ReadVarint(ignored)) return false;
    ++count;
  }
  return true;
}

bool ReadShared(WireCursor& in, v1::SharedMemory& shared) {
  constexpr uint64_t kMostBytes = 4096;  // a file's name has at most 255
  WireCursor body;
  if (!in.TakeLengthDelimited(body) || body.remaining() > kMostBytes) return false;
  std::string bytes(body.remaining(), '\0');
  return body.Copy(bytes.data(), bytes.size()) && shared.MergeFromString(bytes);
}

bool ReadField(const WireTag& tag, WireCursor& in, RawHeader& header) {
  switch (tag.field) {
    case v1::Tensor::kDtypeFieldNumber: {
      if (tag.type != WireType::kVarint) return in.SkipValue(tag);
      uint64_t dtype;
      if (!in.ReadVarint(dtype)) return false;
      header.dtype = static_cast<int32_t>(dtype);
      return true;
    }
    case v1::Tensor::kShapeFieldNumber:
      return ReadShape(tag, in, header);
    case v1::Tensor::kRawFieldNumber:
      if (tag.type != WireType::kLengthDelimited) return in.SkipValue(tag);
      return in.TakeLengthDelimited(header.raw);
    case v1::Tensor::kSharedFieldNumber:
      if (tag.type != WireType::kLengthDelimited) return in.SkipValue(tag);
      header.elements[tag.field] = 1;  // present, whatever its length
      return ReadShared(in, header.shared);
    case v1::Tensor::kFloatValuesFieldNumber:
      return CountElements(tag, in, WireType::kFixed32, 4, header.elements[tag.field]);
    case v1::Tensor::kDoubleValuesFieldNumber:
      return CountElements(tag, in, WireType::kFixed64, 8, header.elements[tag.field]);
    case v1::Tensor::kInt32ValuesFieldNumber:
    case v1::Tensor::kBoolValuesFieldNumber:
      return CountElements(tag, in, WireType::kVarint, 0, header.elements[tag.field]);
    default:
      return in.SkipValue(tag);
  }
}

bool ReadPieces(const std::vector<WireCursor>& pieces, RawHeader& header) {
  for (WireCursor in : pieces) {
    while (!in.done()) {
      WireTag tag;
      if (!in.ReadTag(tag) || !ReadField(tag, in, header)) return false;
    }
  }
  header.elements[v1::Tensor::kRawFieldNumber] = header.raw.remaining();
  return true;
}

absl::StatusOr<Payload> PayloadOf(const RawHeader& header, absl::string_view field) {
  Payload payload = Payload::kNone;
  for (int number = v1::Tensor::kRawFieldNumber; number <= v1::Tensor::kSharedFieldNumber; ++number) {
    if (header.elements[number] == 0) continue;
    if (payload != Payload::kNone) {
      return InvalidField(field, absl::StrCat("both ", NameOf(payload), " and ", NameOf(static_cast<Payload>(number))),
                          "exactly one payload");
    }
    payload = static_cast<Payload>(number);
  }
  return payload;
}

std::optional<DType> DTypeOfPayload(Payload payload) {
  switch (payload) {
    case Payload::kNone:  // an empty float_values: the shape says that there are no elements
    case Payload::kFloats:
      return DType::kFloat32;
    case Payload::kDoubles:
      return DType::kFloat64;
    case Payload::kBools:
      return DType::kBool;
    case Payload::kInt32s:
      return DType::kInt32;
    case Payload::kRaw:
    case Payload::kShared:
      break;
  }
  return std::nullopt;
}

std::optional<DType> DTypeOnWire(int32_t dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT32:
      return DType::kFloat32;
    case v1::DATA_TYPE_FLOAT64:
      return DType::kFloat64;
    case v1::DATA_TYPE_BFLOAT16:
      return DType::kBFloat16;
    case v1::DATA_TYPE_FLOAT16:
      return DType::kFloat16;
    case v1::DATA_TYPE_INT32:
      return DType::kInt32;
    case v1::DATA_TYPE_BOOL:
      return DType::kBool;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<DType> CheckedDType(const RawHeader& header, Payload payload, absl::string_view field) {
  const std::optional<DType> implied = DTypeOfPayload(payload);
  if (header.dtype == v1::DATA_TYPE_UNSPECIFIED) {
    // int32_values has no dtype of its own in the contract's defaults; saying INT32 costs the caller little.
    if (implied.has_value() && payload != Payload::kInt32s) return *implied;
    return InvalidField(absl::StrCat(field, ".dtype"), "DATA_TYPE_UNSPECIFIED",
                        absl::StrCat("a dtype, which ", NameOf(payload), " needs"));
  }
  const std::optional<DType> named = DTypeOnWire(header.dtype);
  if (!named.has_value()) {
    return InvalidField(absl::StrCat(field, ".dtype"), absl::StrCat("the unknown value ", header.dtype),
                        "a DataType of the contract");
  }
  if (payload != Payload::kNone && implied.has_value() && *implied != *named) {
    return InvalidField(field, absl::StrCat(NameOf(payload), " with dtype ", compute::NameOf(*named)),
                        absl::StrCat("raw, or dtype ", compute::NameOf(*implied)));
  }
  return *named;
}

// The product of those that are not 0; kMostEmptyRows + 1 where it is larger than that.
int64_t OtherDimensions(const compute::Shape& shape) {
  int64_t product = 1;
  for (int64_t dimension : shape) {
    if (dimension > kMostEmptyRows / product) return kMostEmptyRows + 1;
    if (dimension > 0) product *= dimension;
  }
  return product;
}

absl::StatusOr<int64_t> CheckedElements(const RawHeader& header, absl::string_view field) {
  const std::string shape_field = absl::StrCat(field, ".shape");
  if (header.dimensions > compute::kMaxDimensions) {
    return InvalidField(shape_field, absl::StrCat(header.dimensions, " dimensions"),
                        absl::StrCat("at most ", compute::kMaxDimensions));
  }
  for (int64_t dimension : header.shape) {
    if (dimension < 0) {
      return InvalidField(shape_field, compute::ShapeToString(header.shape), "dimensions of at least 0");
    }
  }
  const std::optional<int64_t> elements = compute::ElementCount(header.shape);
  if (!elements.has_value()) {
    return InvalidField(shape_field, compute::ShapeToString(header.shape), "a product of dimensions below 2^63");
  }
  if (*elements == 0 && OtherDimensions(header.shape) > kMostEmptyRows) {
    return InvalidField(
        shape_field, compute::ShapeToString(header.shape),
        absl::StrCat("at most ", kMostEmptyRows, " as the product of an empty tensor's other dimensions"));
  }
  return *elements;
}

absl::Status CheckLength(const RawHeader& header, const TensorHeader& checked, absl::string_view field) {
  const uint64_t wanted = static_cast<uint64_t>(checked.elements);
  if (checked.payload != Payload::kRaw && checked.payload != Payload::kShared) {
    const uint64_t got = header.elements[static_cast<int>(checked.payload)];
    if (got == wanted) return absl::OkStatus();
    return InvalidField(field, absl::StrCat(got, " elements", checked.payload == Payload::kNone ? " (no payload)" : ""),
                        absl::StrCat(wanted, " elements for shape ", compute::ShapeToString(checked.shape)));
  }
  const uint64_t width = compute::SizeOf(checked.dtype);
  const uint64_t got = checked.payload == Payload::kRaw ? header.raw.remaining() : header.shared.length();
  if (got % width == 0 && got / width == wanted) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(got, " bytes of ", NameOf(checked.payload)),
                      absl::StrCat(wanted, " elements of ", width, " bytes for ", compute::NameOf(checked.dtype), " ",
                                   compute::ShapeToString(checked.shape)));
}

}  // namespace

absl::StatusOr<TensorHeader> ReadTensorHeader(const std::vector<WireCursor>& pieces, absl::string_view field) {
  RawHeader raw;
  if (!ReadPieces(pieces, raw)) {
    return InvalidField(field, "bytes that end too early or are malformed", "a serialized attend.v1.Tensor");
  }
  TensorHeader header;
  absl::StatusOr<int64_t> elements = CheckedElements(raw, field);
  if (!elements.ok()) return elements.status();
  absl::StatusOr<Payload> payload = PayloadOf(raw, field);
  if (!payload.ok()) return payload.status();
  absl::StatusOr<DType> dtype = CheckedDType(raw, *payload, field);
  if (!dtype.ok()) return dtype.status();

  header.shape = raw.shape;
  header.elements = *elements;
  header.payload = *payload;
  header.dtype = *dtype;
  header.raw = raw.raw;
  header.shared = raw.shared;
  if (absl::Status fits = CheckLength(raw, header, field); !fits.ok()) return fits;
  return header;
}

}  // namespace attend::rpc
