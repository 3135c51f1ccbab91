#include "server/rpc/attention_codec.h"

#include <numeric>
#include <utility>
#include <vector>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/tokens.h"
#include "server/compute/convert.h"
#include "server/compute/lie/chain.h"
#include "server/compute/lie/softmax_distance.h"
#include "server/rpc/attention_gradients.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/attention_problem.h"
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
class AttentionOperation final : public Operation {
 public:
  // `grad_output` without memory: no gradients are wanted.
  AttentionOperation(AttentionInputs inputs, AttentionSettings settings, Tensor grad_output)
      : in_(std::move(inputs)),
        settings_(std::move(settings)),
        problem_(AttentionProblemOf<T>(in_, settings_)),
        grad_output_(std::move(grad_output)),
        gradients_(in_, settings_) {}

  double ResponseBytes() const override {
    const std::vector<double> tensors = TensorBytes();
    return std::accumulate(tensors.begin(), tensors.end(), DiagnosticsBytes());
  }

  std::vector<double> TensorBytes() const override {
    const double width = static_cast<double>(compute::SizeOf(settings_.output_dtype));
    const double row_width = static_cast<double>(compute::SizeOf(AtLeastFloat32(settings_.output_dtype)));
    std::vector<double> bytes = {width * Elements(OutputShape(in_))};
    for (bool wanted : {settings_.want_weights, settings_.want_scores}) {
      if (wanted) bytes.push_back(width * Elements(MatrixShape()));
    }
    for (bool wanted : {settings_.want_lse, settings_.want_entropy}) {
      if (wanted) bytes.push_back(row_width * Elements(RowShape()));
    }
    for (double elements : GradientElements()) {
      bytes.push_back(elements * static_cast<double>(compute::SizeOf(in_.wire_dtype)));
    }
    return bytes;
  }

  double WorkspaceBytes(int workers) const override {
    // Results in the computing type, where they are converted afterwards.
    double bytes = settings_.output_dtype == compute::DTypeOf<T>() ? 0 : 4 * ResponseBytes();
    if (in_.wire_dtype != compute::DTypeOf<T>()) {
      for (double elements : GradientElements()) bytes += elements * sizeof(T);
    }
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
    constexpr double kFlopsOfRotation = 500;  // a sine and a cosine
    const auto& attention = problem_.attention;
    const bool plain = std::holds_alternative<compute::SoftmaxNormalization>(attention.normalization);
    // Tokens are left out: their width and number of heads are not bounded by the message.
    if (!plain || settings_.want_diagnostics || in_.from_tokens || HasEmptyDimension()) return false;
    double flops = Flops() + kFlopsOfExponential * Elements(MatrixShape());
    flops += kFlopsToBegin * static_cast<double>(attention.batch) * static_cast<double>(attention.heads);
    if (!std::holds_alternative<compute::NoPosition>(attention.position)) {
      flops += kFlopsOfRotation * static_cast<double>(attention.n + attention.m) * static_cast<double>(attention.d);
    }
    return flops <= kBriefFlops;
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

  void Encode(runtime::BufferPool& pool, WireWriter& writer) override {
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
  }

 private:
  bool WantsGradients() const { return grad_output_.template data<T>() != nullptr; }
  std::vector<double> GradientElements() const {
    return WantsGradients() ? gradients_.EntryElements() : std::vector<double>();
  }

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
  // Then the shape may be any, whatever the message's size.
  bool HasEmptyDimension() const {
    const auto& a = problem_.attention;
    return a.batch == 0 || a.heads == 0 || a.n == 0 || a.m == 0 || a.d == 0 || a.d_key == 0 || a.d_value == 0;
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

  bool Empty() const { return HasNoQuery(in_); }

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
