#include "client/cli/array_files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/npy.h"
#include "client/cli/output.h"
#include "client/lib/convert.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

constexpr char kStandardStream[] = "-";

absl::Status Named(const std::string& path, const absl::Status& status) {
  const std::string name = path == kStandardStream ? "stdin" : path;
  return absl::Status(status.code(), absl::StrCat(name, ": ", status.message()));
}

absl::StatusOr<NpyArray> ReadFile(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return absl::InvalidArgumentError("is a folder");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return absl::ErrnoToStatus(errno, "cannot open");
  return ReadNpy(stream);
}

absl::StatusOr<v1::DataType> DataTypeOf(NpyType type) {
  switch (type) {
    case NpyType::kFloat16:
      return v1::DATA_TYPE_FLOAT16;
    case NpyType::kFloat32:
      return v1::DATA_TYPE_FLOAT32;
    case NpyType::kFloat64:
      return v1::DATA_TYPE_FLOAT64;
    case NpyType::kInt32:
      return v1::DATA_TYPE_INT32;
    case NpyType::kBool:
      return v1::DATA_TYPE_BOOL;
    case NpyType::kInt64:
      break;
  }
  return absl::InvalidArgumentError("is an int64 array: expected float16, float32, float64, int32 or bool");
}

absl::StatusOr<v1::Tensor> ToTensor(NpyArray array, std::optional<v1::DataType> as) {
  absl::StatusOr<v1::DataType> dtype = DataTypeOf(array.type);
  if (!dtype.ok()) return dtype.status();
  absl::StatusOr<v1::Tensor> tensor = client::MakeTensorFromBytes(*dtype, array.shape, std::move(array.bytes));
  if (!tensor.ok() || !as.has_value() || *as == *dtype || !client::IsFloating(*dtype)) return tensor;
  return client::ConvertTensor(*tensor, *as);
}

absl::StatusOr<NpyType> NpyTypeOf(v1::DataType dtype) {
  switch (dtype) {
    case v1::DATA_TYPE_FLOAT16:
      return NpyType::kFloat16;
    case v1::DATA_TYPE_FLOAT32:
      return NpyType::kFloat32;
    case v1::DATA_TYPE_FLOAT64:
      return NpyType::kFloat64;
    case v1::DATA_TYPE_INT32:
      return NpyType::kInt32;
    case v1::DATA_TYPE_BOOL:
      return NpyType::kBool;
    default:
      return absl::InternalError(absl::StrCat("the answer has a tensor of type ", client::DataTypeName(dtype)));
  }
}

}  // namespace

absl::StatusOr<NpyArray> ArrayFiles::ReadArray(const std::string& path) {
  const bool standard = path == kStandardStream;
  if (standard && std::exchange(input_taken_, true)) {
    return absl::InvalidArgumentError("stdin (-) can be only one input");
  }
  absl::StatusOr<NpyArray> array = standard ? ReadNpy(input_) : ReadFile(path);
  if (!array.ok()) return Named(path, array.status());
  return array;
}

absl::StatusOr<v1::Tensor> ArrayFiles::ReadTensor(const std::string& path, std::optional<v1::DataType> as) {
  absl::StatusOr<NpyArray> array = ReadArray(path);
  if (!array.ok()) return array.status();
  absl::StatusOr<v1::Tensor> tensor = ToTensor(*std::move(array), as);
  if (!tensor.ok()) return Named(path, tensor.status());
  return tensor;
}

absl::StatusOr<std::vector<int64_t>> ArrayFiles::ReadIntegers(const std::string& path) {
  absl::StatusOr<NpyArray> array = ReadArray(path);
  if (!array.ok()) return array.status();
  if (array->shape.size() != 1 || (array->type != NpyType::kInt32 && array->type != NpyType::kInt64)) {
    return Named(path, absl::InvalidArgumentError("expected an int32 or int64 array of one dimension"));
  }
  std::vector<int64_t> integers(static_cast<size_t>(array->shape[0]));
  for (size_t i = 0; i < integers.size(); ++i) {
    if (array->type == NpyType::kInt64) {
      std::memcpy(&integers[i], array->bytes.data() + i * sizeof(int64_t), sizeof(int64_t));
    } else {
      int32_t narrow = 0;
      std::memcpy(&narrow, array->bytes.data() + i * sizeof(narrow), sizeof(narrow));
      integers[i] = narrow;
    }
  }
  return integers;
}

absl::Status ArrayFiles::ClaimOutput(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  if (!outputs_.insert(path).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("two outputs go to ", path == kStandardStream ? "stdout (-)" : path));
  }
  if (path == kStandardStream) {
    console_.ReserveStdout();
    return absl::OkStatus();
  }
  return CheckFolderOf(path);
}

absl::Status ArrayFiles::WriteTensor(const std::string& path, const v1::Tensor& tensor) {
  if (tensor.dtype() == v1::DATA_TYPE_BFLOAT16) {
    absl::StatusOr<v1::Tensor> wide = client::ConvertTensor(tensor, v1::DATA_TYPE_FLOAT32);
    return wide.ok() ? WriteTensor(path, *wide) : Named(path, wide.status());
  }
  absl::StatusOr<std::string> bytes = client::RawBytes(tensor);
  if (!bytes.ok()) return Named(path, bytes.status());
  absl::StatusOr<NpyType> type = NpyTypeOf(client::EffectiveDataType(tensor));
  if (!type.ok()) return Named(path, type.status());
  const std::string header = NpyHeader(*type, absl::MakeConstSpan(tensor.shape().data(), tensor.shape_size()));
  if (path != kStandardStream) {
    const absl::Status status = WriteFile(path, {header, *bytes});
    return status.ok() ? status : Named(path, status);
  }
  absl::Status status = console_.WriteData(header);
  if (status.ok()) status = console_.WriteData(*bytes);
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat("stdout: ", status.message()));
}

}  // namespace attend::cli
