#include "server/rpc/field_reader.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/compute/shortest_text.h"
#include "server/rpc/field_error.h"

namespace attend::rpc {

using compute::DType;

absl::Status FieldReader::Floating(const v1::Tensor& stub, absl::string_view field, compute::Tensor& to,
                                   Values allowed) {
  absl::StatusOr<DecodedTensor> decoded = decoder_.Decode(stub, field, allowed);
  if (!decoded.ok()) return decoded.status();
  if (!compute::IsFloating(decoded->wire_dtype)) {
    return InvalidField(absl::StrCat(field, ".dtype"), compute::NameOf(decoded->wire_dtype), "a floating dtype");
  }
  if (!wire_dtype_.has_value()) {
    wire_dtype_ = decoded->wire_dtype;
    first_field_ = std::string(field);
  } else if (*wire_dtype_ != decoded->wire_dtype) {
    return InvalidField(absl::StrCat(field, ".dtype"), compute::NameOf(decoded->wire_dtype),
                        absl::StrCat(compute::NameOf(*wire_dtype_), ", as ", first_field_));
  }
  to = std::move(decoded->tensor);
  return absl::OkStatus();
}

absl::Status FieldReader::Required(const v1::Tensor* stub, absl::string_view field, absl::string_view expected,
                                   compute::Tensor& to) {
  if (stub == nullptr) return InvalidField(field, "nothing", expected);
  return Floating(*stub, field, to);
}

absl::Status FieldReader::Bool(const v1::Tensor& stub, absl::string_view field, compute::Tensor& to) {
  absl::StatusOr<DecodedTensor> decoded = decoder_.Decode(stub, field);
  if (!decoded.ok()) return decoded.status();
  if (decoded->wire_dtype != DType::kBool) {
    return InvalidField(absl::StrCat(field, ".dtype"), compute::NameOf(decoded->wire_dtype), "BOOL");
  }
  to = std::move(decoded->tensor);
  return absl::OkStatus();
}

absl::Status CheckRank(const compute::Tensor& tensor, absl::string_view field, int least, int most) {
  if (least <= tensor.rank() && tensor.rank() <= most) return absl::OkStatus();
  return InvalidField(
      absl::StrCat(field, ".shape"), compute::ShapeToString(tensor.shape()),
      least == most ? absl::StrCat(least, " dimensions") : absl::StrCat(least, " to ", most, " dimensions"));
}

absl::Status CheckDimension(absl::string_view field, absl::string_view noun, int64_t got, int64_t expected,
                            absl::string_view why) {
  if (got == expected) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(got, " ", noun), absl::StrCat(expected, " (", why, ")"));
}

absl::StatusOr<double> CheckedScale(absl::string_view field, double scale, DType wire_dtype) {
  const double limit =
      wire_dtype == DType::kFloat64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
  if (std::abs(scale) <= limit) return scale;
  return InvalidField(field, compute::ShortestText(scale),
                      absl::StrCat("a number of magnitude at most ", compute::ShortestText(limit)));
}

absl::StatusOr<DType> ReadOutputDType(v1::DataType requested, absl::string_view field, DType absent) {
  switch (requested) {
    case v1::DATA_TYPE_UNSPECIFIED:
      return absent;
    case v1::DATA_TYPE_FLOAT32:
      return DType::kFloat32;
    case v1::DATA_TYPE_FLOAT64:
      return DType::kFloat64;
    case v1::DATA_TYPE_BFLOAT16:
      return DType::kBFloat16;
    case v1::DATA_TYPE_FLOAT16:
      return DType::kFloat16;
    default:
      return InvalidField(field, absl::StrCat("DataType ", static_cast<int>(requested)), "a floating dtype");
  }
}

}  // namespace attend::rpc
