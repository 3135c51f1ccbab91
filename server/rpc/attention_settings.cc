#include "server/rpc/attention_settings.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::Tensor;

std::string UnknownValue(int value) { return absl::StrCat("the unknown value ", value); }

// Finite in the type that computes, too.
absl::StatusOr<double> CheckedScale(double scale, compute::DType wire_dtype) {
  const double limit =
      wire_dtype == compute::DType::kFloat64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
  if (std::abs(scale) <= limit) return scale;
  return InvalidField("score.scaled_dot_product.scale", absl::StrCat(scale),
                      absl::StrCat("a number of magnitude at most ", limit));
}

absl::StatusOr<double> ReadScale(const v1::Score& score, const AttentionInputs& in) {
  switch (score.kind_case()) {
    case v1::Score::kScaledDotProduct:
      if (!score.scaled_dot_product().has_scale()) break;
      return CheckedScale(score.scaled_dot_product().scale(), in.wire_dtype);
    case v1::Score::kDotProduct:
      return 1.0;
    case v1::Score::kAdditive:
    case v1::Score::kBilinear:
    case v1::Score::KIND_NOT_SET:
      break;
  }
  return 1 / std::sqrt(static_cast<double>(in.d));
}

// "broadcastable to [2, 3, 5, 7]": aligned at the right, each dimension equal or 1.
absl::Status CheckBroadcast(const Tensor& tensor, absl::string_view field, const AttentionInputs& in) {
  const std::array<int64_t, 4> full = {in.batch, in.heads, in.n, in.m};
  bool fits = tensor.rank() <= 4;
  for (int i = 0; fits && i < tensor.rank(); ++i) {
    const int64_t dimension = tensor.dim(tensor.rank() - 1 - i);
    fits = dimension == 1 || dimension == full[3 - i];
  }
  if (fits) return absl::OkStatus();
  return InvalidField(absl::StrCat(field, ".shape"), compute::ShapeToString(tensor.shape()),
                      absl::StrCat("a shape broadcastable to ", compute::ShapeToString(full)));
}

absl::Status ReadKeyLengths(const v1::Mask& mask, const AttentionInputs& in, AttentionSettings& settings) {
  if (mask.key_lengths().empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckDimension("mask.key_lengths", "lengths", mask.key_lengths_size(), in.batch, "batch"));
  for (int i = 0; i < mask.key_lengths_size(); ++i) {
    const int64_t length = mask.key_lengths(i);
    if (length < 0 || length > in.m) {
      return InvalidField(absl::StrCat("mask.key_lengths[", i, "]"), absl::StrCat(length),
                          absl::StrCat("a length in [0, ", in.m, "]"));
    }
    settings.key_lengths.push_back(length);
  }
  return absl::OkStatus();
}

absl::Status ReadMask(const v1::Mask& mask, const AttentionInputs& in, FieldReader& reader,
                      AttentionSettings& settings) {
  switch (mask.causal()) {
    case v1::CAUSAL_UNSPECIFIED:
      break;
    case v1::CAUSAL_BOTTOM_RIGHT:
      settings.causal = true;
      break;
    case v1::CAUSAL_TOP_LEFT:
      settings.causal = true;
      settings.alignment = compute::Alignment::kTopLeft;
      break;
    default:
      return InvalidField("mask.causal", UnknownValue(mask.causal()), "a Causal of the contract");
  }
  RETURN_IF_ERROR(ReadKeyLengths(mask, in, settings));
  if (mask.has_allowed()) {
    RETURN_IF_ERROR(reader.Bool(mask.allowed(), "mask.allowed", settings.allowed));
    RETURN_IF_ERROR(CheckBroadcast(settings.allowed, "mask.allowed", in));
  }
  if (mask.has_bias()) {
    RETURN_IF_ERROR(reader.Floating(mask.bias(), "mask.bias", settings.bias, Values::kFiniteOrMinusInfinity));
    RETURN_IF_ERROR(CheckBroadcast(settings.bias, "mask.bias", in));
  }
  return absl::OkStatus();
}

absl::StatusOr<compute::Rate> ReadRate(v1::GeneratorExp::Rate rate) {
  switch (rate) {
    case v1::GeneratorExp::RATE_EXP:
      return compute::Rate::kExp;
    case v1::GeneratorExp::RATE_UNSPECIFIED:
    case v1::GeneratorExp::RATE_SOFTPLUS:
      return compute::Rate::kSoftplus;
    case v1::GeneratorExp::RATE_RELU:
      return compute::Rate::kRelu;
    default:
      return InvalidField("normalization.generator_exp.rate", UnknownValue(rate), "a Rate of the contract");
  }
}

absl::Status ReadNormalization(const v1::Normalization& normalization, const AttentionInputs& in,
                               AttentionSettings& settings) {
  if (normalization.kind_case() != v1::Normalization::kGeneratorExp) return absl::OkStatus();
  const v1::GeneratorExp& generator_exp = normalization.generator_exp();
  const absl::StatusOr<compute::Rate> rate = ReadRate(generator_exp.rate());
  if (!rate.ok()) return rate.status();
  const double time = generator_exp.has_time() ? generator_exp.time() : 1;
  if (!std::isfinite(time) || time < 0) {
    return InvalidField("normalization.generator_exp.time", absl::StrCat(time), "a finite number of at least 0");
  }
  if (in.n != in.m) {
    return InvalidField("normalization.generator_exp", absl::StrCat(in.n, " queries and ", in.m, " keys"),
                        "as many keys as queries");
  }
  settings.normalization = compute::GeneratorExpNormalization{*rate, time};
  return absl::OkStatus();
}

absl::Status ReadReturnOutputs(const v1::AttentionRequest& request, AttentionSettings& settings) {
  for (int i = 0; i < request.return_outputs_size(); ++i) {
    switch (request.return_outputs(i)) {
      case v1::ATTENTION_OUTPUT_WEIGHTS:
        settings.want_weights = true;
        break;
      case v1::ATTENTION_OUTPUT_SCORES:
        settings.want_scores = true;
        break;
      case v1::ATTENTION_OUTPUT_LSE:
        settings.want_lse = true;
        break;
      case v1::ATTENTION_OUTPUT_ENTROPY:
        settings.want_entropy = true;
        break;
      default:
        return InvalidField(absl::StrCat("return_outputs[", i, "]"), UnknownValue(request.return_outputs(i)),
                            "an AttentionOutput of the contract");
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseUnsupportedMask(const v1::Mask& mask) {
  if (mask.has_window_left()) return UnsupportedField("mask.window_left", absl::StrCat(mask.window_left()));
  if (mask.has_window_right()) return UnsupportedField("mask.window_right", absl::StrCat(mask.window_right()));
  if (!mask.alibi_slopes().empty()) {
    return UnsupportedField("mask.alibi_slopes", "ALiBi slopes");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RefuseUnsupported(const v1::AttentionRequest& request) {
  if (request.score().has_additive()) return UnsupportedField("score.additive", "an additive score");
  if (request.score().has_bilinear()) return UnsupportedField("score.bilinear", "a bilinear score");
  if (request.position().has_sinusoidal()) return UnsupportedField("position.sinusoidal", "sinusoidal positions");
  if (request.position().has_rotary()) return UnsupportedField("position.rotary", "rotary positions");
  if (request.normalization().softmax().softcap() != 0) {
    return UnsupportedField("normalization.softmax.softcap", absl::StrCat(request.normalization().softmax().softcap()));
  }
  if (request.has_grad_output()) return UnsupportedField("grad_output", "a request for gradients");
  return RefuseUnsupportedMask(request.mask());
}

absl::StatusOr<AttentionSettings> ReadAttentionSettings(const v1::AttentionRequest& request,
                                                        const AttentionInputs& inputs, FieldReader& reader) {
  AttentionSettings settings;
  const absl::StatusOr<double> scale = ReadScale(request.score(), inputs);
  if (!scale.ok()) return scale.status();
  settings.scale = *scale;
  RETURN_IF_ERROR(ReadMask(request.mask(), inputs, reader, settings));
  RETURN_IF_ERROR(ReadNormalization(request.normalization(), inputs, settings));
  RETURN_IF_ERROR(ReadReturnOutputs(request, settings));
  const absl::StatusOr<compute::DType> output_dtype =
      ReadOutputDType(request.output_dtype(), "output_dtype", inputs.wire_dtype);
  if (!output_dtype.ok()) return output_dtype.status();
  settings.output_dtype = *output_dtype;
  return settings;
}

}  // namespace attend::rpc
