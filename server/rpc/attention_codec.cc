#include "server/rpc/attention_codec.h"

#include <array>
#include <utility>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/tokens.h"
#include "server/compute/convert.h"
#include "server/compute/lie/chain.h"
#include "server/compute/lie/softmax_distance.h"
#include "server/rpc/attention_gradients.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/attention_settings.h"
#include "server/rpc/lie_reports.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Shape;
using compute::Tensor;

double Elements(const Shape& shape) {
  double elements = 1;
  for (int64_t dimension : shape) elements *= static_cast<double>(dimension);
  return elements;
}

// log-sum-exps and entropies keep float32 at least: partial results are merged with them.
DType AtLeastFloat32(DType dtype) { return dtype == DType::kFloat64 ? dtype : DType::kFloat32; }

// [batch, heads, ...rest] with as many of the leading dimensions as the request had.
Shape AnswerShape(const AttentionInputs& in, std::initializer_list<int64_t> rest) {
  // Tokens have no dimension for the heads, so theirs is always there.
  Shape shape;
  const bool has_batch = in.leading_dimensions == (in.from_tokens ? 1 : 2);
  const bool has_heads = in.from_tokens || in.leading_dimensions >= 1;
  if (has_batch) shape.push_back(in.batch);
  if (has_heads) shape.push_back(in.heads);
  shape.insert(shape.end(), rest.begin(), rest.end());
  return shape;
}

Shape OutputShape(const AttentionInputs& in) {
  if (!in.from_tokens) return AnswerShape(in, {in.n, in.d_value});
  if (in.leading_dimensions == 0) return {in.n, in.by_tokens.d_out};
  return {in.batch, in.n, in.by_tokens.d_out};
}

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
class AttentionOperation final : public Operation {
 public:
  // `grad_output` without memory: no gradients are wanted.
  AttentionOperation(AttentionInputs inputs, AttentionSettings settings, Tensor grad_output)
      : in_(std::move(inputs)),
        settings_(std::move(settings)),
        problem_(MakeProblem()),
        grad_output_(std::move(grad_output)),
        gradients_(in_, settings_) {}

  double ResponseBytes() const override {
    const double width = static_cast<double>(compute::SizeOf(settings_.output_dtype));
    const double row_width = static_cast<double>(compute::SizeOf(AtLeastFloat32(settings_.output_dtype)));
    const double matrices = settings_.want_weights + settings_.want_scores;
    const double rows = settings_.want_lse + settings_.want_entropy;
    const double gradients = WantsGradients() ? gradients_.Elements() : 0;
    return width * (Elements(OutputShape(in_)) + matrices * Elements(MatrixShape())) +
           row_width * rows * Elements(RowShape()) + DiagnosticsBytes() +
           gradients * static_cast<double>(compute::SizeOf(in_.wire_dtype));
  }

  double WorkspaceBytes(int workers) const override {
    // Results in the computing type, where they are converted afterwards.
    double bytes = settings_.output_dtype == compute::DTypeOf<T>() ? 0 : 4 * ResponseBytes();
    if (WantsGradients() && in_.wire_dtype != compute::DTypeOf<T>()) bytes += gradients_.Elements() * sizeof(T);
    if (Empty()) return bytes;
    bytes += DiagnosticsWorkspaceBytes(workers);
    const auto& attention = problem_.attention;
    if (in_.from_tokens) {
      return bytes + (WantsGradients() ? compute::TokensGradientsWorkspaceBytes(problem_, WantedTokens(), workers)
                                       : compute::TokensWorkspaceBytes(problem_, WantedTokens(), workers));
    }
    return bytes + (WantsGradients() ? compute::AttentionGradientsWorkspaceBytes(attention, WantedHeads(), workers)
                                     : compute::AttentionWorkspaceBytes(attention, WantedHeads(), workers));
  }

  double Flops() const override {
    if (Empty()) return 0;
    if (in_.from_tokens) {
      return compute::TokensFlops(problem_) + (WantsGradients() ? compute::TokensBackwardFlops(problem_) : 0);
    }
    const auto& attention = problem_.attention;
    return compute::AttentionFlops(attention) + (WantsGradients() ? compute::AttentionBackwardFlops(attention) : 0);
  }

  bool Brief() const override {
    constexpr double kFlopsOfExponential = 64;
    const auto& attention = problem_.attention;
    if (settings_.want_diagnostics || std::holds_alternative<compute::GeneratorExpNormalization>(attention.normalization)) {
      return false;
    }
    return Flops() + kFlopsOfExponential * Elements(MatrixShape()) <= kBriefFlops;
  }

  absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) override {
    output_ = Tensor(compute::DTypeOf<T>(), OutputShape(in_), pool);
    if (NeedsWeights()) weights_ = Tensor(compute::DTypeOf<T>(), MatrixShape(), pool);
    if (NeedsScores()) scores_ = Tensor(compute::DTypeOf<T>(), MatrixShape(), pool);
    if (settings_.want_lse) lse_ = Tensor(compute::DTypeOf<T>(), RowShape(), pool);
    if (settings_.want_entropy) entropy_ = Tensor(compute::DTypeOf<T>(), RowShape(), pool);
    if (WantsGradients()) gradients_.Allocate(pool);
    if (Empty()) {
      if (WantsGradients()) gradients_.SetZero();
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(in_.from_tokens ? RunTokens(executor, pool) : RunHeads(executor, pool));
    return settings_.want_diagnostics ? Diagnose(executor, pool) : absl::OkStatus();
  }

  void Encode(runtime::BufferPool& pool, const v1::CallStats& stats, WireWriter& writer) override {
    const DType dtype = settings_.output_dtype;
    Write(v1::AttentionResponse::kOutputFieldNumber, dtype, std::move(output_), pool, writer);
    if (settings_.want_weights) {
      Write(v1::AttentionResponse::kWeightsFieldNumber, dtype, std::move(weights_), pool, writer);
    }
    if (settings_.want_scores) {
      Write(v1::AttentionResponse::kScoresFieldNumber, dtype, std::move(scores_), pool, writer);
    }
    if (settings_.want_lse) {
      Write(v1::AttentionResponse::kLseFieldNumber, AtLeastFloat32(dtype), std::move(lse_), pool, writer);
    }
    if (settings_.want_entropy) {
      Write(v1::AttentionResponse::kEntropyFieldNumber, AtLeastFloat32(dtype), std::move(entropy_), pool, writer);
    }
    if (WantsGradients()) gradients_.Encode(in_.wire_dtype, pool, writer);
    for (size_t i = 0; i < chains_.size(); ++i) {
      v1::AttentionDiagnostics diagnostics;
      *diagnostics.mutable_chain() = WireOf(chains_[i]);
      if (!distances_.empty()) AddToWire(distances_[i], diagnostics);
      writer.AddMessage(v1::AttentionResponse::kDiagnosticsFieldNumber, diagnostics);
    }
    writer.AddMessage(v1::AttentionResponse::kStatsFieldNumber, stats);
  }

 private:
  bool WantsGradients() const { return grad_output_.template data<T>() != nullptr; }

  absl::Status RunTokens(runtime::Executor& executor, runtime::BufferPool& pool) {
    compute::TokensResult<T> result;
    result.output = output_.data<T>();
    SetOptional(result);
    if (!WantsGradients()) return compute::AttentionFromTokens(executor, pool, problem_, result);
    return compute::AttentionFromTokensWithGradients(executor, pool, problem_, result, grad_output_.data<T>(),
                                                     gradients_.ForTokens());
  }

  absl::Status RunHeads(runtime::Executor& executor, runtime::BufferPool& pool) {
    compute::AttentionResult<T> result;
    result.output = compute::ContiguousHeads(output_.data<T>(), in_.heads, in_.n, in_.d_value);
    SetOptional(result);
    if (!WantsGradients()) return compute::Attention(executor, pool, problem_.attention, result);
    const auto grad_output = compute::ContiguousHeads<const T>(grad_output_.data<T>(), in_.heads, in_.n, in_.d_value);
    return compute::AttentionWithGradients(executor, pool, problem_.attention, result, grad_output,
                                           gradients_.ForHeads(in_));
  }

  bool ComparesWithSoftmax() const {
    return settings_.want_diagnostics &&
           std::holds_alternative<compute::GeneratorExpNormalization>(settings_.normalization);
  }
  bool NeedsWeights() const { return settings_.want_weights || settings_.want_diagnostics; }
  bool NeedsScores() const { return settings_.want_scores || ComparesWithSoftmax(); }

  absl::Status Diagnose(runtime::Executor& executor, runtime::BufferPool& pool) {
    const int64_t matrices = in_.batch * in_.heads;
    if (ComparesWithSoftmax()) {
      RETURN_IF_ERROR(
          compute::SoftmaxDistances(executor, matrices, in_.n, scores_.data<T>(), weights_.data<T>(), distances_));
    }
    return compute::DiagnoseChains(executor, pool, matrices, in_.n, weights_.data<T>(), chains_);
  }
  double DiagnosticsBytes() const {
    if (!settings_.want_diagnostics || Empty()) return 0;
    return static_cast<double>(in_.batch * in_.heads) * ChainBytes(in_.n);
  }
  double DiagnosticsWorkspaceBytes(int workers) const {
    if (!settings_.want_diagnostics) return 0;
    const double matrices =
        (settings_.want_weights ? 0 : 1) + (ComparesWithSoftmax() && !settings_.want_scores ? 1 : 0);
    return matrices * sizeof(T) * Elements(MatrixShape()) +
           compute::ChainWorkspaceBytes(in_.batch * in_.heads, in_.n, workers);
  }

  // No query at all: every result is empty, whatever the other dimensions say.
  bool Empty() const { return in_.batch == 0 || in_.heads == 0 || in_.n == 0; }

  Shape MatrixShape() const { return AnswerShape(in_, {in_.n, in_.m}); }
  Shape RowShape() const { return AnswerShape(in_, {in_.n}); }

  static void Write(int number, DType dtype, Tensor tensor, runtime::BufferPool& pool, WireWriter& writer) {
    if (tensor.dtype() != dtype) tensor = compute::ConvertTo(dtype, tensor, pool);
    writer.AddTensor(number, std::move(tensor));
  }

  template <typename Result>
  void SetOptional(Result& result) const {
    result.weights = weights_.template data<T>();
    result.scores = scores_.template data<T>();
    result.lse = lse_.template data<T>();
    result.entropy = entropy_.template data<T>();
  }

  // Which results are wanted, for the estimates: the pointers only have to differ from null.
  template <typename Result>
  Result Wanted() const {
    static T somewhere;
    Result result;
    if (NeedsWeights()) result.weights = &somewhere;
    if (NeedsScores()) result.scores = &somewhere;
    if (settings_.want_lse) result.lse = &somewhere;
    if (settings_.want_entropy) result.entropy = &somewhere;
    return result;
  }
  compute::TokensResult<T> WantedTokens() const { return Wanted<compute::TokensResult<T>>(); }
  compute::AttentionResult<T> WantedHeads() const { return Wanted<compute::AttentionResult<T>>(); }

  compute::AttentionProblem<T> MakeAttention() const {
    compute::AttentionProblem<T> problem;
    problem.batch = in_.batch;
    problem.heads = in_.heads;
    problem.kv_heads = in_.kv_heads;
    problem.n = in_.n;
    problem.m = in_.m;
    problem.d = in_.d;
    problem.d_key = in_.d_key;
    problem.d_value = in_.d_value;
    problem.scale = settings_.score.scale;
    problem.score = ScoreOf<T>(settings_.score);
    problem.position = settings_.position;
    problem.mask.causal = settings_.causal;
    problem.mask.alignment = settings_.alignment;
    problem.mask.allowed = Broadcast<uint8_t>(settings_.allowed);
    problem.mask.bias = Broadcast<T>(settings_.bias);
    problem.mask.key_lengths = settings_.key_lengths;
    problem.mask.window_left = settings_.window_left;
    problem.mask.window_right = settings_.window_right;
    problem.mask.alibi_slopes.assign(settings_.alibi_slopes.begin(), settings_.alibi_slopes.end());
    problem.normalization = settings_.normalization;
    return problem;
  }

  compute::TokensProblem<T> MakeProblem() const {
    compute::TokensProblem<T> problem;
    if (Empty()) return problem;
    problem.attention = MakeAttention();
    const HeadsInputs& heads = in_.by_heads;
    if (!in_.from_tokens) {
      compute::AttentionProblem<T>& attention = problem.attention;
      attention.query = compute::ContiguousHeads<const T>(heads.query.data<T>(), in_.heads, in_.n, in_.d);
      attention.key = compute::ContiguousHeads<const T>(heads.key.data<T>(), in_.kv_heads, in_.m, in_.d_key);
      attention.value = compute::ContiguousHeads<const T>(heads.value.data<T>(), in_.kv_heads, in_.m, in_.d_value);
      return problem;
    }
    const TokensInputs& tokens = in_.by_tokens;
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

  const AttentionInputs in_;
  const AttentionSettings settings_;
  const compute::TokensProblem<T> problem_;  // views of in_ and settings_; the attention inside serves heads as well
  const Tensor grad_output_;
  GradientTensors<T> gradients_;
  Tensor output_, weights_, scores_, lse_, entropy_;
  std::vector<compute::ChainDiagnostics> chains_;    // of the weights, where wanted
  std::vector<compute::SoftmaxDistance> distances_;  // of exp(tG) from them, likewise
};

}  // namespace

absl::StatusOr<std::unique_ptr<Operation>> DecodeAttention(const RequestBytes& slices, runtime::BufferPool& pool) {
  v1::AttentionRequest request;
  absl::StatusOr<WireRequest> wire = WireRequest::Parse(slices, request);
  if (!wire.ok()) return wire.status();
  FieldReader reader(*wire, pool);
  absl::StatusOr<AttentionInputs> inputs = ReadAttentionInputs(request, reader);
  if (!inputs.ok()) return inputs.status();
  absl::StatusOr<AttentionSettings> settings = ReadAttentionSettings(request, *inputs, reader);
  if (!settings.ok()) return settings.status();
  absl::StatusOr<Tensor> grad_output =
      ReadGradOutput(request, *inputs, *settings, OutputShape(*inputs), FieldReader(*wire, pool), pool);
  if (!grad_output.ok()) return grad_output.status();
  if (inputs->wire_dtype == DType::kFloat64) {
    return std::make_unique<AttentionOperation<double>>(*std::move(inputs), *std::move(settings),
                                                        *std::move(grad_output));
  }
  return std::make_unique<AttentionOperation<float>>(*std::move(inputs), *std::move(settings), *std::move(grad_output));
}

}  // namespace attend::rpc
