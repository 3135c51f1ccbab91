#include "server/rpc/attention_score.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "server/compute/shortest_text.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

constexpr double kDefaultBase = 10000;

absl::StatusOr<double> ReadScale(const v1::Score& score, const AttentionInputs& in) {
  if (score.has_bilinear()) {
    if (!score.bilinear().has_scale()) return 1.0;
    return CheckedScale("score.bilinear.scale", score.bilinear().scale(), in.wire_dtype);
  }
  if (score.has_dot_product()) return 1.0;
  if (score.scaled_dot_product().has_scale()) {
    return CheckedScale("score.scaled_dot_product.scale", score.scaled_dot_product().scale(), in.wire_dtype);
  }
  return 1 / std::sqrt(static_cast<double>(in.d));
}

absl::Status ReadAdditive(const v1::Additive& additive, const AttentionInputs& in, FieldReader& reader,
                          ScoreSettings& to) {
  RETURN_IF_ERROR(reader.Required(additive.has_w_query() ? &additive.w_query() : nullptr, "score.additive.w_query",
                                  "a tensor [h, d]", to.w_query));
  RETURN_IF_ERROR(reader.Required(additive.has_w_key() ? &additive.w_key() : nullptr, "score.additive.w_key",
                                  "a tensor [h, d_key]", to.w_key));
  RETURN_IF_ERROR(reader.Required(additive.has_w_score() ? &additive.w_score() : nullptr, "score.additive.w_score",
                                  "a tensor [h]", to.w_score));
  RETURN_IF_ERROR(CheckRank(to.w_query, "score.additive.w_query", 2, 2));
  RETURN_IF_ERROR(CheckRank(to.w_key, "score.additive.w_key", 2, 2));
  RETURN_IF_ERROR(CheckRank(to.w_score, "score.additive.w_score", 1, 1));
  const int64_t h = to.w_query.dim(0);
  if (h == 0) return InvalidField("score.additive.w_query", "0 rows", "h of at least 1");
  RETURN_IF_ERROR(CheckDimension("score.additive.w_query", "columns", to.w_query.dim(1), in.d, "d of the query"));
  RETURN_IF_ERROR(CheckDimension("score.additive.w_key", "rows", to.w_key.dim(0), h, "h of w_query"));
  RETURN_IF_ERROR(CheckDimension("score.additive.w_key", "columns", to.w_key.dim(1), in.d_key, "d_key of the key"));
  return CheckDimension("score.additive.w_score", "elements", to.w_score.dim(0), h, "h of w_query");
}

absl::Status ReadBilinear(const v1::Bilinear& bilinear, const AttentionInputs& in, FieldReader& reader,
                          ScoreSettings& to) {
  RETURN_IF_ERROR(
      reader.Required(bilinear.has_w() ? &bilinear.w() : nullptr, "score.bilinear.w", "a tensor [d, d_key]", to.w));
  RETURN_IF_ERROR(CheckRank(to.w, "score.bilinear.w", 2, 2));
  RETURN_IF_ERROR(CheckDimension("score.bilinear.w", "rows", to.w.dim(0), in.d, "d of the query"));
  return CheckDimension("score.bilinear.w", "columns", to.w.dim(1), in.d_key, "d_key of the key");
}

absl::StatusOr<double> ReadBase(absl::string_view field, double base) {
  if (base == 0) return kDefaultBase;
  if (std::isfinite(base) && base > 0) return base;
  return InvalidField(field, compute::ShortestText(base), "a finite number above 0, or 0 for 10000");
}

absl::Status CheckEvenColumns(absl::string_view name, int64_t columns) {
  if (columns % 2 == 0) return absl::OkStatus();
  return InvalidField("position.rotary", absl::StrCat(name, " of ", columns), absl::StrCat("an even ", name));
}

absl::StatusOr<compute::Position> ReadRotary(const v1::Rotary& rotary, const AttentionInputs& in) {
  const absl::StatusOr<double> base = ReadBase("position.rotary.base", rotary.base());
  if (!base.ok()) return base.status();
  RETURN_IF_ERROR(CheckEvenColumns("d", in.d));
  RETURN_IF_ERROR(CheckEvenColumns("d_key", in.d_key));
  switch (rotary.layout()) {
    case v1::Rotary::LAYOUT_UNSPECIFIED:
    case v1::Rotary::LAYOUT_HALF:
      return compute::RotaryPosition{*base, false};
    case v1::Rotary::LAYOUT_INTERLEAVED:
      return compute::RotaryPosition{*base, true};
    default:
      return InvalidField("position.rotary.layout",
                          absl::StrCat("the unknown value ", static_cast<int>(rotary.layout())),
                          "a Layout of the contract");
  }
}

}  // namespace

absl::Status ReadScore(const v1::Score& score, const AttentionInputs& inputs, FieldReader& reader, ScoreSettings& to) {
  const absl::StatusOr<double> scale = ReadScale(score, inputs);
  if (!scale.ok()) return scale.status();
  to.scale = *scale;
  if (score.has_additive()) {
    to.kind = ScoreKind::kAdditive;
    return ReadAdditive(score.additive(), inputs, reader, to);
  }
  if (score.has_bilinear()) {
    to.kind = ScoreKind::kBilinear;
    return ReadBilinear(score.bilinear(), inputs, reader, to);
  }
  return absl::OkStatus();
}

absl::StatusOr<compute::Position> ReadPosition(const v1::Position& position, const AttentionInputs& inputs) {
  switch (position.kind_case()) {
    case v1::Position::kSinusoidal: {
      const absl::StatusOr<double> base = ReadBase("position.sinusoidal.base", position.sinusoidal().base());
      if (!base.ok()) return base.status();
      return compute::SinusoidalPosition{*base};
    }
    case v1::Position::kRotary:
      return ReadRotary(position.rotary(), inputs);
    case v1::Position::KIND_NOT_SET:
      break;
  }
  return compute::NoPosition{};
}

}  // namespace attend::rpc
