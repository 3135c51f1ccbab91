#include "client/cli/npy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/npy_header.h"

namespace attend::cli {
namespace {

constexpr char kMagic[] = "\x93NUMPY";
constexpr size_t kMagicBytes = 6;
constexpr size_t kMaxHeaderBytes = size_t{1} << 20;
constexpr size_t kChunkBytes = size_t{4} << 20;

struct TypeRow {
  NpyType type;
  const char* code;  // without the byte order
  int64_t bytes;
};
constexpr TypeRow kTypes[] = {
    {NpyType::kFloat16, "f2", 2}, {NpyType::kFloat32, "f4", 4}, {NpyType::kFloat64, "f8", 8},
    {NpyType::kInt32, "i4", 4},   {NpyType::kInt64, "i8", 8},   {NpyType::kBool, "b1", 1},
};

const TypeRow& RowOf(NpyType type) {
  return *std::find_if(std::begin(kTypes), std::end(kTypes), [type](const TypeRow& row) { return row.type == type; });
}

// Up to `wanted` bytes; fewer where the stream ends.
std::string ReadBytes(std::istream& stream, size_t wanted) {
  std::string bytes;
  while (bytes.size() < wanted && stream.good()) {
    const size_t before = bytes.size();
    const size_t chunk = std::min(wanted - before, kChunkBytes);
    bytes.resize(before + chunk);
    stream.read(bytes.data() + before, static_cast<std::streamsize>(chunk));
    bytes.resize(before + static_cast<size_t>(stream.gcount()));
  }
  return bytes;
}

size_t LittleEndian(const std::string& bytes) {
  size_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) value |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

absl::StatusOr<NpyDictionary> ReadHeader(std::istream& stream) {
  const std::string start = ReadBytes(stream, kMagicBytes + 2);
  if (start.empty()) return absl::InvalidArgumentError("it is empty: expected an .npy array");
  if (start.size() < kMagicBytes + 2 || start.compare(0, kMagicBytes, kMagic, kMagicBytes) != 0) {
    return absl::InvalidArgumentError("it is not an .npy file (the first bytes are not \\x93NUMPY)");
  }
  const int version = start[kMagicBytes];
  if (version < 1 || version > 3) {
    return absl::InvalidArgumentError(absl::StrCat(".npy format version ", version, ", expected 1, 2 or 3"));
  }
  const size_t length_bytes = version == 1 ? 2 : 4;
  const std::string length_field = ReadBytes(stream, length_bytes);
  const size_t length = LittleEndian(length_field);
  if (length > kMaxHeaderBytes) return absl::InvalidArgumentError("the .npy header claims to be over 1 MiB long");
  const std::string header = ReadBytes(stream, length);
  if (length_field.size() < length_bytes || header.size() < length) {
    return absl::InvalidArgumentError("the file ends within the .npy header");
  }
  return ParseNpyDictionary(header);
}

struct ElementType {
  const TypeRow* row;
  bool big_endian;
};

absl::StatusOr<ElementType> ParseDescr(const std::string& descr) {
  if (descr.size() > 1 && std::string("<>|=").find(descr.front()) != std::string::npos) {
    for (const TypeRow& row : kTypes) {
      if (descr.compare(1, std::string::npos, row.code) == 0) return ElementType{&row, descr.front() == '>'};
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("dtype '", descr, "' is not supported: expected float16, float32, float64, int32, int64 or bool"));
}

absl::StatusOr<size_t> DataBytes(const std::vector<int64_t>& shape, int64_t element_bytes) {
  int64_t bytes = element_bytes;
  for (const int64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) {
      return absl::InvalidArgumentError(absl::StrCat("shape (", absl::StrJoin(shape, ", "), ") is beyond any memory"));
    }
  }
  return static_cast<size_t>(bytes);
}

void SwapByteOrder(int64_t element_bytes, std::string& bytes) {
  for (auto element = bytes.begin(); element != bytes.end(); element += element_bytes) {
    std::reverse(element, element + element_bytes);
  }
}

// Column-major to row-major: walks the target in order and follows the source with strides.
std::string ToRowMajor(const std::vector<int64_t>& shape, int64_t element_bytes, const std::string& source) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = element_bytes;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  std::string target;
  target.reserve(source.size());
  std::vector<int64_t> index(shape.size(), 0);
  int64_t offset = 0;
  while (target.size() < source.size()) {
    target.append(source, static_cast<size_t>(offset), static_cast<size_t>(element_bytes));
    for (size_t axis = shape.size(); axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < shape[axis]) break;
      offset -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return target;
}

absl::StatusOr<std::string> ReadData(std::istream& stream, size_t wanted) {
  std::string bytes = ReadBytes(stream, wanted);
  if (bytes.size() < wanted) {
    return absl::InvalidArgumentError(absl::StrCat("the data ends after ", bytes.size(), " bytes, expected ", wanted));
  }
  if (stream.peek() != std::istream::traits_type::eof()) {
    return absl::InvalidArgumentError(absl::StrCat("something follows the ", wanted, " bytes of data"));
  }
  return bytes;
}

}  // namespace

int64_t NpyElementBytes(NpyType type) { return RowOf(type).bytes; }

absl::StatusOr<NpyArray> ReadNpy(std::istream& stream) {
  absl::StatusOr<NpyDictionary> header = ReadHeader(stream);
  if (!header.ok()) return header.status();
  absl::StatusOr<ElementType> element = ParseDescr(header->descr);
  if (!element.ok()) return element.status();
  absl::StatusOr<size_t> wanted = DataBytes(header->shape, element->row->bytes);
  if (!wanted.ok()) return wanted.status();
  absl::StatusOr<std::string> bytes = ReadData(stream, *wanted);
  if (!bytes.ok()) return bytes.status();

  NpyArray array{element->row->type, std::move(header->shape), *std::move(bytes)};
  if (element->big_endian) SwapByteOrder(element->row->bytes, array.bytes);
  if (header->fortran_order) array.bytes = ToRowMajor(array.shape, element->row->bytes, array.bytes);
  if (array.type == NpyType::kBool) {
    for (char& byte : array.bytes) byte = byte != 0 ? 1 : 0;
  }
  return array;
}

std::string NpyHeader(NpyType type, absl::Span<const int64_t> shape) {
  const TypeRow& row = RowOf(type);
  std::string dictionary =
      absl::StrCat("{'descr': '", row.bytes == 1 ? "|" : "<", row.code, "', 'fortran_order': False, 'shape': (",
                   absl::StrJoin(shape, ", "), shape.size() == 1 ? ",), }" : "), }");
  constexpr size_t kAlignment = 64;
  const size_t unpadded = kMagicBytes + 4 + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ').push_back('\n');
  std::string header(kMagic, kMagicBytes);
  for (const size_t byte : {size_t{1}, size_t{0}, dictionary.size() % 256, dictionary.size() / 256}) {
    header.push_back(static_cast<char>(byte));
  }
  return header + dictionary;
}

}  // namespace attend::cli
