// Attention requests that the codec's tests start from.
#ifndef ATTEND_TESTS_SERVER_RPC_ATTENTION_REQUESTS_H_
#define ATTEND_TESTS_SERVER_RPC_ATTENTION_REQUESTS_H_

#include "server/rpc/attention_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {

// [batch 2, heads 4 over 2, n 3, m 5, d 6, d_value 7]
inline v1::AttentionRequest HeadsRequest() {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = Floats({2, 4, 3, 6}, 1);
  *request.mutable_heads()->mutable_key() = Floats({2, 2, 5, 6}, 2);
  *request.mutable_heads()->mutable_value() = Floats({2, 2, 5, 7}, 3);
  return request;
}

// [batch 2, n 3, m 5, d_model 8, d_context 10, heads 4 over 2, d 6, d_value 3, d_out 9]
inline v1::AttentionRequest TokensRequest() {
  v1::AttentionRequest request;
  v1::Tokens& tokens = *request.mutable_tokens();
  *tokens.mutable_x() = Floats({2, 3, 8}, 1);
  *tokens.mutable_context() = Floats({2, 5, 10}, 2);
  *tokens.mutable_w_q() = Floats({8, 24}, 3);
  *tokens.mutable_w_k() = Floats({10, 12}, 4);
  *tokens.mutable_w_v() = Floats({10, 6}, 5);
  *tokens.mutable_w_o() = Floats({12, 9}, 6);
  *tokens.mutable_b_q() = Floats({24}, 7);
  *tokens.mutable_b_o() = Floats({9}, 8);
  tokens.set_num_heads(4);
  tokens.set_num_kv_heads(2);
  return request;
}

// Additive with h = 3 and bilinear parameters for d = 6 and keys of d_key columns.
inline void AddAdditive(v1::AttentionRequest& request, int64_t d_key) {
  v1::Additive& additive = *request.mutable_score()->mutable_additive();
  *additive.mutable_w_query() = Floats({3, 6}, 11);
  *additive.mutable_w_key() = Floats({3, d_key}, 12);
  *additive.mutable_w_score() = Floats({3}, 13);
}
inline void AddBilinear(v1::AttentionRequest& request, int64_t d_key) {
  *request.mutable_score()->mutable_bilinear()->mutable_w() = Floats({6, d_key}, 14);
}

inline absl::StatusOr<v1::AttentionResponse> Ask(const v1::AttentionRequest& request, size_t width = 1 << 16) {
  return Answer<v1::AttentionResponse>(DecodeAttention, request, width);
}

inline void ReturnEverything(v1::AttentionRequest& request) {
  for (int output = 1; output <= 4; ++output) request.add_return_outputs(static_cast<v1::AttentionOutput>(output));
}

}  // namespace attend::rpc

#endif  // ATTEND_TESTS_SERVER_RPC_ATTENTION_REQUESTS_H_
