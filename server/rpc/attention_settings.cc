#include "server/rpc/attention_settings.h"

#include <array>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/compute/shortest_text.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::Tensor;

std::string UnknownValue(int value) { return absl::StrCat("the unknown value ", value); }

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

absl::Status ReadAlibiSlopes(const v1::Mask& mask, const AttentionInputs& in, AttentionSettings& settings) {
  if (mask.alibi_slopes().empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckDimension("mask.alibi_slopes", "slopes", mask.alibi_slopes_size(), in.heads, "heads"));
  for (int i = 0; i < mask.alibi_slopes_size(); ++i) {
    if (!std::isfinite(mask.alibi_slopes(i))) {
      return InvalidField(absl::StrCat("mask.alibi_slopes[", i, "]"), compute::ShortestText(mask.alibi_slopes(i)),
                          "a finite number");
    }
    settings.alibi_slopes.push_back(mask.alibi_slopes(i));
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
  if (mask.has_window_left()) settings.window_left = mask.window_left();
  if (mask.has_window_right()) settings.window_right = mask.window_right();
  RETURN_IF_ERROR(ReadAlibiSlopes(mask, in, settings));
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

absl::Status ReadSoftmax(const v1::Softmax& softmax, AttentionSettings& settings) {
  const double softcap = softmax.softcap();
  if (!std::isfinite(softcap) || softcap < 0) {
    return InvalidField("normalization.softmax.softcap", compute::ShortestText(softcap),
                        "a finite number of at least 0");
  }
  settings.normalization = compute::SoftmaxNormalization{softcap};
  return absl::OkStatus();
}

absl::Status ReadGeneratorExp(const v1::GeneratorExp& generator_exp, const AttentionInputs& in,
                              AttentionSettings& settings) {
  const absl::StatusOr<compute::Rate> rate = ReadRate(generator_exp.rate());
  if (!rate.ok()) return rate.status();
  const double time = generator_exp.has_time() ? generator_exp.time() : 1;
  if (!std::isfinite(time) || time < 0) {
    return InvalidField("normalization.generator_exp.time", compute::ShortestText(time),
                        "a finite number of at least 0");
  }
  if (in.n != in.m) {
    return InvalidField("normalization.generator_exp", absl::StrCat(in.n, " queries and ", in.m, " keys"),
                        "as many keys as queries");
  }
  settings.normalization = compute::GeneratorExpNormalization{*rate, time};
  return absl::OkStatus();
}

absl::Status ReadNormalization(const v1::Normalization& normalization, const AttentionInputs& in,
                               AttentionSettings& settings) {
  if (normalization.has_generator_exp()) return ReadGeneratorExp(normalization.generator_exp(), in, settings);
  return ReadSoftmax(normalization.softmax(), settings);
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

}  // namespace

absl::StatusOr<AttentionSettings> ReadAttentionSettings(const v1::AttentionRequest& request,
                                                        const AttentionInputs& inputs, FieldReader& reader) {
  AttentionSettings settings;
  RETURN_IF_ERROR(ReadScore(request.score(), inputs, reader, settings.score));
  absl::StatusOr<compute::Position> position = ReadPosition(request.position(), inputs);
  if (!position.ok()) return position.status();
  settings.position = *position;
  RETURN_IF_ERROR(ReadMask(request.mask(), inputs, reader, settings));
  RETURN_IF_ERROR(ReadNormalization(request.normalization(), inputs, settings));
  RETURN_IF_ERROR(ReadReturnOutputs(request, settings));
  if (request.diagnostics() && inputs.n != inputs.m) {
    return InvalidField("diagnostics", absl::StrCat("n = ", inputs.n, " and m = ", inputs.m),
                        "as many queries as keys, so that the weights are a Markov chain");
  }
  settings.want_diagnostics = request.diagnostics();
  const absl::StatusOr<compute::DType> output_dtype =
      ReadOutputDType(request.output_dtype(), "output_dtype", inputs.wire_dtype);
  if (!output_dtype.ok()) return output_dtype.status();
  settings.output_dtype = *output_dtype;
  return settings;
}

}  // namespace attend::rpc
