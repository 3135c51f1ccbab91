#include "client/lib/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/lib/tensor.h"

namespace attend::client {
namespace {

// The nearest non-negative number with `precision` significant bits and no bit below 2^(min_exponent - precision + 1).
// Exact in double: both formats are far narrower.
double RoundMagnitude(double magnitude, int precision, int min_exponent) {
  if (magnitude == 0 || !std::isfinite(magnitude)) return magnitude;
  const int exponent = std::max(std::ilogb(magnitude), min_exponent);
  const int quantum = exponent - precision + 1;
  return std::ldexp(std::nearbyint(std::ldexp(magnitude, -quantum)), quantum);
}

template <typename Bits, typename Decode>
std::vector<double> Widen(const std::string& bytes, Decode decode) {
  std::vector<double> wide(bytes.size() / sizeof(Bits));
  for (size_t i = 0; i < wide.size(); ++i) {
    Bits bits;
    std::memcpy(&bits, bytes.data() + i * sizeof(Bits), sizeof(Bits));
    wide[i] = decode(bits);
  }
  return wide;
}

template <typename Bits, typename Encode>
std::string Narrow(const std::vector<double>& wide, Encode encode) {
  std::string bytes(wide.size() * sizeof(Bits), '\0');
  for (size_t i = 0; i < wide.size(); ++i) {
    const Bits bits = encode(wide[i]);
    std::memcpy(bytes.data() + i * sizeof(Bits), &bits, sizeof(Bits));
  }
  return bytes;
}

absl::Status NotFloating(v1::DataType dtype) {
  return absl::InvalidArgumentError(absl::StrCat("got a ", DataTypeName(dtype), " tensor, expected a floating type"));
}

}  // namespace

uint16_t EncodeFloat16(double value) {
  constexpr double kMax = 65504;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  const double magnitude = RoundMagnitude(std::fabs(value), 11, -14);
  if (magnitude > kMax) return sign | 0x7c00;
  if (magnitude < 0x1p-14) return sign | static_cast<uint16_t>(std::ldexp(magnitude, 24));  // subnormal, or 0
  const int exponent = std::ilogb(magnitude);
  const auto mantissa = static_cast<uint16_t>(std::ldexp(magnitude, 10 - exponent) - 1024);
  return static_cast<uint16_t>(sign | ((exponent + 15) << 10) | mantissa);
}

uint16_t EncodeBfloat16(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7fc0;
  const double magnitude = RoundMagnitude(std::fabs(value), 8, -126);
  if (magnitude > std::numeric_limits<float>::max()) return sign | 0x7f80;
  return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(static_cast<float>(magnitude)) >> 16));
}

double DecodeFloat16(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  if (exponent < 0x1f) return sign * std::ldexp(1024 + mantissa, exponent - 25);
  return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
}

double DecodeBfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

bool IsFloating(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_FLOAT32 || dtype == v1::DATA_TYPE_FLOAT64 || dtype == v1::DATA_TYPE_BFLOAT16 ||
         dtype == v1::DATA_TYPE_FLOAT16;
}

absl::StatusOr<std::vector<double>> WidenToDoubles(const v1::Tensor& tensor) {
  absl::StatusOr<std::string> bytes = RawBytes(tensor);
  if (!bytes.ok()) return bytes.status();
  switch (EffectiveDataType(tensor)) {
    case v1::DATA_TYPE_FLOAT32:
      return Widen<float>(*bytes, [](float value) { return double{value}; });
    case v1::DATA_TYPE_FLOAT64:
      return Widen<double>(*bytes, [](double value) { return value; });
    case v1::DATA_TYPE_BFLOAT16:
      return Widen<uint16_t>(*bytes, DecodeBfloat16);
    case v1::DATA_TYPE_FLOAT16:
      return Widen<uint16_t>(*bytes, DecodeFloat16);
    default:
      return NotFloating(EffectiveDataType(tensor));
  }
}

absl::StatusOr<v1::Tensor> ConvertTensor(const v1::Tensor& tensor, v1::DataType to) {
  if (!IsFloating(to)) return NotFloating(to);
  absl::StatusOr<std::vector<double>> wide = WidenToDoubles(tensor);
  if (!wide.ok()) return wide.status();
  std::string raw;
  switch (to) {
    case v1::DATA_TYPE_FLOAT32:
      raw = Narrow<float>(*wide, [](double value) { return static_cast<float>(value); });
      break;
    case v1::DATA_TYPE_FLOAT64:
      raw = Narrow<double>(*wide, [](double value) { return value; });
      break;
    case v1::DATA_TYPE_BFLOAT16:
      raw = Narrow<uint16_t>(*wide, EncodeBfloat16);
      break;
    default:
      raw = Narrow<uint16_t>(*wide, EncodeFloat16);
  }
  return MakeTensorFromBytes(to, absl::MakeConstSpan(tensor.shape().data(), tensor.shape_size()), std::move(raw));
}

}  // namespace attend::client
