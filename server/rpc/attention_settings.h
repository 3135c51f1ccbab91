// Everything of an attention request that is not an input tensor: score, mask, normalization, what to return.
#ifndef ATTEND_SERVER_RPC_ATTENTION_SETTINGS_H_
#define ATTEND_SERVER_RPC_ATTENTION_SETTINGS_H_

#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/attention/problem.h"
#include "server/compute/tensor.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/attention_score.h"
#include "server/rpc/field_reader.h"

namespace attend::rpc {

struct AttentionSettings {
  ScoreSettings score;
  compute::Position position;
  bool causal = false;
  compute::Alignment alignment = compute::Alignment::kBottomRight;
  std::optional<int64_t> window_left, window_right;
  std::vector<double> alibi_slopes;  // [heads] or empty
  std::vector<int64_t> key_lengths;  // [batch] or empty
  compute::Tensor allowed;           // BOOL, broadcastable to [batch, heads, n, m], or no memory
  compute::Tensor bias;              // likewise, of the inputs' dtype
  compute::Normalization normalization;
  bool want_weights = false, want_scores = false, want_lse = false, want_entropy = false;
  bool want_diagnostics = false;
  compute::DType output_dtype = compute::DType::kFloat32;
};

absl::StatusOr<AttentionSettings> ReadAttentionSettings(const v1::AttentionRequest& request,
                                                        const AttentionInputs& inputs, FieldReader& reader);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ATTENTION_SETTINGS_H_
