// The second half of AttentionFlags: from parsed flags to the request.
#include <algorithm>

#include "client/cli/attention_flags.h"
#include "client/cli/number_list.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

absl::Status Needs(bool given, bool company, const char* flag, const char* what) {
  if (!given || company) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, " needs ", what));
}

}  // namespace

absl::Status AttentionFlags::CheckCompany() const {
  if (!heads_.any() && !tokens_.any()) {
    return absl::InvalidArgumentError("no input: give --query, --key and --value, or --x with --w-q, --w-k and --w-v");
  }
  if (heads_.any() && tokens_.any()) {
    return absl::InvalidArgumentError(
        absl::StrCat(heads_.FirstGiven(), " and ", tokens_.FirstGiven(), " exclude each other: heads or tokens"));
  }
  const bool generator = normalization_ == "generator_exp";
  for (const absl::Status& status : {
           Needs(num_heads_.has_value(), tokens_.any(), "--num-heads", "--x"),
           Needs(num_kv_heads_.has_value(), tokens_.any(), "--num-kv-heads", "--x"),
           Needs(scale_.has_value(), score_ == "scaled_dot" || score_ == "bilinear", "--scale",
                 "--score scaled_dot or bilinear"),
           Needs(additive_.any(), score_ == "additive", additive_.FirstGiven().c_str(), "--score additive"),
           Needs(bilinear_.any(), score_ == "bilinear", "--w-bilinear", "--score bilinear"),
           Needs(position_base_.has_value(), !position_.empty(), "--position-base", "--position"),
           Needs(!rotary_layout_.empty(), position_ == "rotary", "--rotary-layout", "--position rotary"),
           Needs(!rate_.empty(), generator, "--rate", "--normalization generator_exp"),
           Needs(time_.has_value(), generator, "--time", "--normalization generator_exp"),
           Needs(softcap_.has_value(), !generator, "--softcap", "--normalization softmax"),
       }) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::AttentionRequest> AttentionFlags::MakeRequest(ArrayFiles& files) const {
  if (absl::Status status = CheckCompany(); !status.ok()) return status;
  v1::AttentionRequest request;
  if (absl::Status status = SetInput(files, request); !status.ok()) return status;
  if (absl::Status status = SetScore(files, *request.mutable_score()); !status.ok()) return status;
  if (absl::Status status = SetMask(files, request); !status.ok()) return status;
  if (absl::Status status = grad_output_.Fill(files, input_type_.dtype(), request); !status.ok()) return status;
  SetPosition(request);
  SetNormalization(request);
  if (!output_dtype_.empty()) request.set_output_dtype(client::ParseDataType(output_dtype_).value());
  return request;
}

std::vector<std::string> AttentionFlags::GradientNames() const {
  std::vector<std::string> names;
  heads_.AddGivenFields(names);
  tokens_.AddGivenFields(names);
  additive_.AddGivenFields(names);
  bilinear_.AddGivenFields(names);
  bias_.AddGivenFields(names);
  return names;
}

absl::Status AttentionFlags::SetInput(ArrayFiles& files, v1::AttentionRequest& request) const {
  if (heads_.any()) return heads_.Fill(files, input_type_.dtype(), *request.mutable_heads());
  v1::Tokens& tokens = *request.mutable_tokens();
  if (num_heads_.has_value()) tokens.set_num_heads(*num_heads_);
  if (num_kv_heads_.has_value()) tokens.set_num_kv_heads(*num_kv_heads_);
  return tokens_.Fill(files, input_type_.dtype(), tokens);
}

absl::Status AttentionFlags::SetScore(ArrayFiles& files, v1::Score& score) const {
  if (score_ == "dot") {
    score.mutable_dot_product();
  } else if (score_ == "additive") {
    return additive_.Fill(files, input_type_.dtype(), *score.mutable_additive());
  } else if (score_ == "bilinear") {
    if (scale_.has_value()) score.mutable_bilinear()->set_scale(*scale_);
    return bilinear_.Fill(files, input_type_.dtype(), *score.mutable_bilinear());
  } else {
    v1::ScaledDotProduct& scaled = *score.mutable_scaled_dot_product();
    if (scale_.has_value()) scaled.set_scale(*scale_);
  }
  return absl::OkStatus();
}

absl::Status AttentionFlags::SetMask(ArrayFiles& files, v1::AttentionRequest& request) const {
  v1::Mask mask;
  if (!causal_.empty()) mask.set_causal(causal_ == "top_left" ? v1::CAUSAL_TOP_LEFT : v1::CAUSAL_BOTTOM_RIGHT);
  if (window_left_.has_value()) mask.set_window_left(*window_left_);
  if (window_right_.has_value()) mask.set_window_right(*window_right_);
  for (const double slope : alibi_slopes_) mask.add_alibi_slopes(static_cast<float>(slope));
  if (absl::Status status = mask_.Fill(files, input_type_.dtype(), mask); !status.ok()) return status;
  if (absl::Status status = bias_.Fill(files, input_type_.dtype(), mask); !status.ok()) return status;
  if (absl::Status status = SetKeyLengths(files, mask); !status.ok()) return status;
  if (mask.ByteSizeLong() > 0) request.mutable_mask()->Swap(&mask);
  return absl::OkStatus();
}

absl::Status AttentionFlags::SetKeyLengths(ArrayFiles& files, v1::Mask& mask) const {
  if (key_lengths_.empty()) return absl::OkStatus();
  const bool is_list = key_lengths_.find_first_not_of("0123456789+-, ") == std::string::npos;
  const absl::StatusOr<std::vector<int64_t>> lengths =
      is_list ? ParseWholeNumbers(key_lengths_) : files.ReadIntegers(key_lengths_);
  if (!lengths.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--key-lengths ", lengths.status().message()));
  }
  mask.mutable_key_lengths()->Add(lengths->begin(), lengths->end());
  return absl::OkStatus();
}

void AttentionFlags::SetPosition(v1::AttentionRequest& request) const {
  if (position_ == "sinusoidal") {
    v1::Sinusoidal& sinusoidal = *request.mutable_position()->mutable_sinusoidal();
    if (position_base_.has_value()) sinusoidal.set_base(*position_base_);
  } else if (position_ == "rotary") {
    v1::Rotary& rotary = *request.mutable_position()->mutable_rotary();
    if (position_base_.has_value()) rotary.set_base(*position_base_);
    if (rotary_layout_ == "interleaved") rotary.set_layout(v1::Rotary::LAYOUT_INTERLEAVED);
    if (rotary_layout_ == "half") rotary.set_layout(v1::Rotary::LAYOUT_HALF);
  }
}

void AttentionFlags::SetNormalization(v1::AttentionRequest& request) const {
  if (normalization_ == "softmax") {
    v1::Softmax& softmax = *request.mutable_normalization()->mutable_softmax();
    if (softcap_.has_value()) softmax.set_softcap(*softcap_);
    return;
  }
  v1::GeneratorExp& generator = *request.mutable_normalization()->mutable_generator_exp();
  if (rate_ == "softplus") generator.set_rate(v1::GeneratorExp::RATE_SOFTPLUS);
  if (rate_ == "exp") generator.set_rate(v1::GeneratorExp::RATE_EXP);
  if (rate_ == "relu") generator.set_rate(v1::GeneratorExp::RATE_RELU);
  if (time_.has_value()) generator.set_time(*time_);
}

}  // namespace attend::cli
