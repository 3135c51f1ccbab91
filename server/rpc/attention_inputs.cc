#include "server/rpc/attention_inputs.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::Tensor;

// Dimension `i` of a tensor read as [.., rows, cols] with four (or three) dimensions; absent leading ones are 1.
int64_t DimensionFromRight(const Tensor& tensor, int from_right) {
  const int i = tensor.rank() - 1 - from_right;
  return i < 0 ? 1 : tensor.dim(i);
}
int64_t Columns(const Tensor& tensor) { return DimensionFromRight(tensor, 0); }
int64_t Rows(const Tensor& tensor) { return DimensionFromRight(tensor, 1); }

absl::Status CheckHeadCounts(absl::string_view field, int64_t heads, int64_t kv_heads) {
  if (heads == 0 && kv_heads == 0) return absl::OkStatus();
  if (kv_heads > 0 && heads % kv_heads == 0) return absl::OkStatus();
  return InvalidField(field, absl::StrCat(kv_heads, " kv heads"), absl::StrCat("a divisor of the ", heads, " heads"));
}

absl::Status CheckHeadShapes(const HeadsInputs& by_heads, const AttentionInputs& in) {
  RETURN_IF_ERROR(
      CheckDimension("heads.key", "batches", DimensionFromRight(by_heads.key, 3), in.batch, "batch of heads.query"));
  RETURN_IF_ERROR(CheckDimension("heads.value", "batches", DimensionFromRight(by_heads.value, 3), in.batch,
                                 "batch of heads.query"));
  RETURN_IF_ERROR(CheckDimension("heads.value", "heads", DimensionFromRight(by_heads.value, 2), in.kv_heads,
                                 "kv heads of heads.key"));
  RETURN_IF_ERROR(CheckDimension("heads.value", "rows", Rows(by_heads.value), in.m, "m of heads.key"));
  return CheckHeadCounts("heads.key", in.heads, in.kv_heads);
}

absl::Status ReadHeads(const v1::Heads& heads, FieldReader& reader, AttentionInputs& in) {
  HeadsInputs& to = in.by_heads;
  RETURN_IF_ERROR(reader.Required(heads.has_query() ? &heads.query() : nullptr, "heads.query",
                                  "a tensor [batch, heads, n, d]", to.query));
  RETURN_IF_ERROR(reader.Required(heads.has_key() ? &heads.key() : nullptr, "heads.key",
                                  "a tensor [batch, kv_heads, m, d_key]", to.key));
  RETURN_IF_ERROR(reader.Required(heads.has_value() ? &heads.value() : nullptr, "heads.value",
                                  "a tensor [batch, kv_heads, m, d_value]", to.value));
  RETURN_IF_ERROR(CheckRank(to.query, "heads.query", 2, 4));
  RETURN_IF_ERROR(CheckRank(to.key, "heads.key", 2, 4));
  RETURN_IF_ERROR(CheckRank(to.value, "heads.value", 2, 4));
  in.leading_dimensions = to.query.rank() - 2;
  in.batch = DimensionFromRight(to.query, 3);
  in.heads = DimensionFromRight(to.query, 2);
  in.n = Rows(to.query);
  in.d = Columns(to.query);
  in.kv_heads = DimensionFromRight(to.key, 2);
  in.m = Rows(to.key);
  in.d_key = Columns(to.key);
  in.d_value = Columns(to.value);
  if (in.d == 0) return InvalidField("heads.query", "0 columns", "d of at least 1");
  return CheckHeadShapes(to, in);
}

// A weight [rows, heads * width]; gives the width.
absl::StatusOr<int64_t> ReadWeight(const v1::Tensor* stub, const std::string& field, int64_t rows,
                                   absl::string_view rows_are, int64_t heads, FieldReader& reader, Tensor& to) {
  RETURN_IF_ERROR(reader.Required(stub, field, absl::StrCat("a tensor [", rows_are, ", heads * width]"), to));
  RETURN_IF_ERROR(CheckRank(to, field, 2, 2));
  RETURN_IF_ERROR(CheckDimension(field, "rows", to.dim(0), rows, rows_are));
  if (to.dim(1) % heads != 0) {
    return InvalidField(field, absl::StrCat(to.dim(1), " columns"), absl::StrCat("a multiple of ", heads, " heads"));
  }
  return to.dim(1) / heads;
}

absl::Status ReadBias(const v1::Tensor* stub, const std::string& field, int64_t columns, FieldReader& reader,
                      Tensor& to) {
  if (stub == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(reader.Floating(*stub, field, to));
  RETURN_IF_ERROR(CheckRank(to, field, 1, 1));
  return CheckDimension(field, "elements", to.dim(0), columns, "columns of its weight");
}

absl::Status ReadSequences(const v1::Tokens& tokens, FieldReader& reader, AttentionInputs& in) {
  TokensInputs& to = in.by_tokens;
  RETURN_IF_ERROR(
      reader.Required(tokens.has_x() ? &tokens.x() : nullptr, "tokens.x", "a tensor [batch, n, d_model]", to.x));
  RETURN_IF_ERROR(CheckRank(to.x, "tokens.x", 2, 3));
  in.leading_dimensions = to.x.rank() - 2;
  in.batch = DimensionFromRight(to.x, 2);
  in.n = in.m = Rows(to.x);
  to.d_model = to.d_context = Columns(to.x);
  if (!tokens.has_context()) return absl::OkStatus();

  RETURN_IF_ERROR(reader.Floating(tokens.context(), "tokens.context", to.context));
  RETURN_IF_ERROR(CheckRank(to.context, "tokens.context", 2, 3));
  in.m = Rows(to.context);
  to.d_context = Columns(to.context);
  return CheckDimension("tokens.context", "batches", DimensionFromRight(to.context, 2), in.batch, "batch of tokens.x");
}

absl::Status ReadProjections(const v1::Tokens& tokens, FieldReader& reader, AttentionInputs& in) {
  TokensInputs& to = in.by_tokens;
  absl::StatusOr<int64_t> width = ReadWeight(tokens.has_w_q() ? &tokens.w_q() : nullptr, "tokens.w_q", to.d_model,
                                             "d_model", in.heads, reader, to.w_q);
  if (!width.ok()) return width.status();
  in.d = *width;
  if (in.d == 0) return InvalidField("tokens.w_q", "0 columns", "d of at least 1");
  width = ReadWeight(tokens.has_w_k() ? &tokens.w_k() : nullptr, "tokens.w_k", to.d_context, "d_context", in.kv_heads,
                     reader, to.w_k);
  if (!width.ok()) return width.status();
  in.d_key = *width;
  width = ReadWeight(tokens.has_w_v() ? &tokens.w_v() : nullptr, "tokens.w_v", to.d_context, "d_context", in.kv_heads,
                     reader, to.w_v);
  if (!width.ok()) return width.status();
  in.d_value = *width;
  RETURN_IF_ERROR(ReadBias(tokens.has_b_q() ? &tokens.b_q() : nullptr, "tokens.b_q", to.w_q.dim(1), reader, to.b_q));
  RETURN_IF_ERROR(ReadBias(tokens.has_b_k() ? &tokens.b_k() : nullptr, "tokens.b_k", to.w_k.dim(1), reader, to.b_k));
  return ReadBias(tokens.has_b_v() ? &tokens.b_v() : nullptr, "tokens.b_v", to.w_v.dim(1), reader, to.b_v);
}

absl::Status ReadOutputProjection(const v1::Tokens& tokens, FieldReader& reader, AttentionInputs& in) {
  TokensInputs& to = in.by_tokens;
  if (__builtin_mul_overflow(in.heads, in.d_value, &to.d_out)) {
    return InvalidField("tokens.w_v", absl::StrCat(in.d_value, " columns per head"), "heads * d_value below 2^63");
  }
  if (tokens.has_w_o()) {
    RETURN_IF_ERROR(reader.Floating(tokens.w_o(), "tokens.w_o", to.w_o));
    RETURN_IF_ERROR(CheckRank(to.w_o, "tokens.w_o", 2, 2));
    RETURN_IF_ERROR(CheckDimension("tokens.w_o", "rows", to.w_o.dim(0), to.d_out, "heads * d_value"));
    to.d_out = to.w_o.dim(1);
  }
  return ReadBias(tokens.has_b_o() ? &tokens.b_o() : nullptr, "tokens.b_o", to.d_out, reader, to.b_o);
}

absl::Status ReadTokens(const v1::Tokens& tokens, FieldReader& reader, AttentionInputs& in) {
  in.from_tokens = true;
  in.heads = tokens.num_heads() == 0 ? 1 : tokens.num_heads();
  in.kv_heads = tokens.num_kv_heads() == 0 ? in.heads : tokens.num_kv_heads();
  RETURN_IF_ERROR(CheckHeadCounts("tokens.num_kv_heads", in.heads, in.kv_heads));
  RETURN_IF_ERROR(ReadSequences(tokens, reader, in));
  RETURN_IF_ERROR(ReadProjections(tokens, reader, in));
  return ReadOutputProjection(tokens, reader, in);
}

// Only a score with a parameter of its own for the keys leaves them a width of their own.
absl::Status CheckKeyColumns(const v1::Score& score, const AttentionInputs& in) {
  const absl::string_view field = in.from_tokens ? "tokens.w_k" : "heads.key";
  if (score.has_additive() || score.has_bilinear()) {
    return in.d_key > 0 ? absl::OkStatus() : InvalidField(field, "0 columns", "d_key of at least 1");
  }
  if (!in.from_tokens) return CheckDimension(field, "columns", in.d_key, in.d, "d of heads.query");
  return CheckDimension(field, "columns", in.d_key * in.kv_heads, in.d * in.kv_heads, "kv_heads * d");
}

}  // namespace

absl::StatusOr<AttentionInputs> ReadAttentionInputs(const v1::AttentionRequest& request, FieldReader& reader) {
  AttentionInputs in;
  switch (request.input_case()) {
    case v1::AttentionRequest::kHeads:
      RETURN_IF_ERROR(ReadHeads(request.heads(), reader, in));
      break;
    case v1::AttentionRequest::kTokens:
      RETURN_IF_ERROR(ReadTokens(request.tokens(), reader, in));
      break;
    case v1::AttentionRequest::INPUT_NOT_SET:
      return InvalidField("input", "nothing", "heads or tokens");
  }
  RETURN_IF_ERROR(CheckKeyColumns(request.score(), in));
  in.wire_dtype = reader.wire_dtype();
  return in;
}

}  // namespace attend::rpc
