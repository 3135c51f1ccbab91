// The tensors of an attention request, decoded and held against each other: from here on shapes are facts.
#ifndef ATTEND_SERVER_RPC_ATTENTION_INPUTS_H_
#define ATTEND_SERVER_RPC_ATTENTION_INPUTS_H_

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/tensor.h"
#include "server/rpc/field_reader.h"

namespace attend::rpc {

struct HeadsInputs {
  compute::Tensor query;  // [batch, heads,    n, d]
  compute::Tensor key;    // [batch, kv_heads, m, d_key]
  compute::Tensor value;  // [batch, kv_heads, m, d_value]
};

// Absent tensors have no memory.
struct TokensInputs {
  int64_t d_model = 0;
  int64_t d_context = 0;
  int64_t d_out = 0;
  compute::Tensor x, context;          // [batch, n, d_model], [batch, m, d_context]
  compute::Tensor w_q, w_k, w_v, w_o;  // see compute::TokensProblem
  compute::Tensor b_q, b_k, b_v, b_o;
};

struct AttentionInputs {
  compute::DType wire_dtype = compute::DType::kFloat32;  // of the floating tensors
  bool from_tokens = false;
  HeadsInputs by_heads;        // unless from_tokens
  TokensInputs by_tokens;      // if from_tokens
  int leading_dimensions = 0;  // of query or x before the matrix: the answer has them too
  int64_t batch = 1, heads = 1, kv_heads = 1, n = 0, m = 0, d = 0, d_value = 0;
  int64_t d_key = 0;  // d, except with an additive or bilinear score
};

absl::StatusOr<AttentionInputs> ReadAttentionInputs(const v1::AttentionRequest& request, FieldReader& reader);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ATTENTION_INPUTS_H_
