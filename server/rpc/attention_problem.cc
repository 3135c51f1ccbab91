#include "server/rpc/attention_problem.h"

#include "server/compute/attention/attention.h"
#include "server/rpc/attention_score.h"

namespace attend::rpc {
namespace {

using compute::Tensor;

template <typename T>
compute::BroadcastView<T> Broadcast(const Tensor& tensor) {
  compute::BroadcastView<T> view;
  view.data = tensor.data<T>();
  if (view.data == nullptr) return view;
  int64_t stride = 1;
  for (int i = 0; i < tensor.rank(); ++i) {
    const int64_t dimension = tensor.dim(tensor.rank() - 1 - i);
    view.strides[3 - i] = dimension == 1 ? 0 : stride;
    stride *= dimension;
  }
  return view;
}

template <typename T>
compute::AttentionProblem<T> SettingsOf(const AttentionInputs& in, const AttentionSettings& settings) {
  compute::AttentionProblem<T> problem;
  problem.batch = in.batch;
  problem.heads = in.heads;
  problem.kv_heads = in.kv_heads;
  problem.n = in.n;
  problem.m = in.m;
  problem.d = in.d;
  problem.d_key = in.d_key;
  problem.d_value = in.d_value;
  problem.scale = settings.score.scale;
  problem.score = ScoreOf<T>(settings.score);
  problem.position = settings.position;
  problem.mask.causal = settings.causal;
  problem.mask.alignment = settings.alignment;
  problem.mask.allowed = Broadcast<uint8_t>(settings.allowed);
  problem.mask.bias = Broadcast<T>(settings.bias);
  problem.mask.key_lengths = settings.key_lengths;
  problem.mask.window_left = settings.window_left;
  problem.mask.window_right = settings.window_right;
  problem.mask.alibi_slopes.assign(settings.alibi_slopes.begin(), settings.alibi_slopes.end());
  problem.normalization = settings.normalization;
  return problem;
}

}  // namespace

template <typename T>
compute::TokensProblem<T> AttentionProblemOf(const AttentionInputs& in, const AttentionSettings& settings) {
  compute::TokensProblem<T> problem;
  if (HasNoQuery(in)) return problem;
  problem.attention = SettingsOf<T>(in, settings);
  const HeadsInputs& heads = in.by_heads;
  if (!in.from_tokens) {
    compute::AttentionProblem<T>& attention = problem.attention;
    attention.query = compute::ContiguousHeads<const T>(heads.query.data<T>(), in.heads, in.n, in.d);
    attention.key = compute::ContiguousHeads<const T>(heads.key.data<T>(), in.kv_heads, in.m, in.d_key);
    attention.value = compute::ContiguousHeads<const T>(heads.value.data<T>(), in.kv_heads, in.m, in.d_value);
    return problem;
  }
  const TokensInputs& tokens = in.by_tokens;
  problem.d_model = tokens.d_model;
  problem.d_context = tokens.d_context;
  problem.d_out = tokens.d_out;
  problem.x = tokens.x.data<T>();
  problem.context = tokens.context.data<T>() != nullptr ? tokens.context.data<T>() : problem.x;
  problem.w_q = tokens.w_q.data<T>();
  problem.w_k = tokens.w_k.data<T>();
  problem.w_v = tokens.w_v.data<T>();
  problem.w_o = tokens.w_o.data<T>();
  problem.b_q = tokens.b_q.data<T>();
  problem.b_k = tokens.b_k.data<T>();
  problem.b_v = tokens.b_v.data<T>();
  problem.b_o = tokens.b_o.data<T>();
  return problem;
}

template compute::TokensProblem<float> AttentionProblemOf(const AttentionInputs&, const AttentionSettings&);
template compute::TokensProblem<double> AttentionProblemOf(const AttentionInputs&, const AttentionSettings&);

}  // namespace attend::rpc
