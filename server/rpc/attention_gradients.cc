#include "server/rpc/attention_gradients.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/rpc/field_error.h"
#include "server/rpc/return_if_error.h"

namespace attend::rpc {
namespace {

using compute::DType;
using compute::Tensor;

// Numbers of another dtype may be past what T holds.
absl::Status CheckFinite(const Tensor& converted) {
  const auto count = static_cast<size_t>(converted.size());
  if (converted.dtype() != DType::kFloat32 || compute::AllFinite(converted.data<float>(), count)) {
    return absl::OkStatus();
  }
  return InvalidField("grad_output", "a value past FLOAT32", "values that FLOAT32, which computes, can hold");
}

}  // namespace

absl::StatusOr<Tensor> ReadGradOutput(const v1::AttentionRequest& request, const AttentionInputs& inputs,
                                      const AttentionSettings& settings, const compute::Shape& output_shape,
                                      FieldReader reader, runtime::BufferPool& pool) {
  if (!request.has_grad_output()) return Tensor();
  Tensor grad_output;
  RETURN_IF_ERROR(reader.Floating(request.grad_output(), "grad_output", grad_output));
  if (reader.wire_dtype() != settings.output_dtype && reader.wire_dtype() != inputs.wire_dtype) {
    return InvalidField("grad_output.dtype", compute::NameOf(reader.wire_dtype()),
                        absl::StrCat(compute::NameOf(settings.output_dtype), ", as output"));
  }
  if (grad_output.shape() != output_shape) {
    return InvalidField("grad_output.shape", compute::ShapeToString(grad_output.shape()),
                        absl::StrCat(compute::ShapeToString(output_shape), ", as output"));
  }
  const DType computes = inputs.wire_dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  if (grad_output.dtype() == computes) return grad_output;
  grad_output = compute::ConvertTo(computes, grad_output, pool);
  RETURN_IF_ERROR(CheckFinite(grad_output));
  return grad_output;
}

template <typename T>
GradientTensors<T>::GradientTensors(const AttentionInputs& inputs, const AttentionSettings& settings) {
  const HeadsInputs& heads = inputs.by_heads;
  const TokensInputs& tokens = inputs.by_tokens;
  const std::pair<const char*, const Tensor*> all[] = {
      {"query", &heads.query},
      {"key", &heads.key},
      {"value", &heads.value},
      {"x", &tokens.x},
      {"context", &tokens.context},
      {"w_q", &tokens.w_q},
      {"w_k", &tokens.w_k},
      {"w_v", &tokens.w_v},
      {"w_o", &tokens.w_o},
      {"b_q", &tokens.b_q},
      {"b_k", &tokens.b_k},
      {"b_v", &tokens.b_v},
      {"b_o", &tokens.b_o},
      {"bias", &settings.bias},
      {"w_query", &settings.score.w_query},
      {"w_key", &settings.score.w_key},
      {"w_score", &settings.score.w_score},
      {"w_bilinear", &settings.score.w},
  };
  for (const auto& [name, input] : all) Add(name, *input);
}

template <typename T>
void GradientTensors<T>::Add(const char* name, const Tensor& input) {
  if (input.template data<T>() != nullptr) entries_.push_back({name, input.shape(), Tensor()});
}

template <typename T>
std::vector<double> GradientTensors<T>::EntryElements() const {
  std::vector<double> elements;
  for (const Entry& entry : entries_) elements.push_back(static_cast<double>(*compute::ElementCount(entry.shape)));
  return elements;
}

template <typename T>
void GradientTensors<T>::Allocate(runtime::BufferPool& pool) {
  for (Entry& entry : entries_) entry.tensor = Tensor(compute::DTypeOf<T>(), entry.shape, pool);
}

template <typename T>
void GradientTensors<T>::SetZero() {
  for (Entry& entry : entries_) std::fill_n(entry.tensor.template data<T>(), entry.tensor.size(), T{0});
}

template <typename T>
T* GradientTensors<T>::At(const char* name) const {
  for (const Entry& entry : entries_) {
    if (entry.name == name) return entry.tensor.template data<T>();
  }
  return nullptr;
}

template <typename T>
compute::ParameterGradients<T> GradientTensors<T>::Parameters() const {
  return {At("bias"), At("w_query"), At("w_key"), At("w_score"), At("w_bilinear")};
}

template <typename T>
compute::AttentionGradients<T> GradientTensors<T>::ForHeads(const AttentionInputs& in) const {
  return {compute::ContiguousHeads(At("query"), in.heads, in.n, in.d),
          compute::ContiguousHeads(At("key"), in.kv_heads, in.m, in.d_key),
          compute::ContiguousHeads(At("value"), in.kv_heads, in.m, in.d_value), Parameters()};
}

template <typename T>
compute::TokensGradients<T> GradientTensors<T>::ForTokens() const {
  return {At("x"),   At("context"), At("w_q"), At("w_k"), At("w_v"),   At("w_o"),
          At("b_q"), At("b_k"),     At("b_v"), At("b_o"), Parameters()};
}

template <typename T>
void GradientTensors<T>::Encode(DType dtype, runtime::BufferPool& pool, WireWriter& writer) {
  for (Entry& entry : entries_) {
    Tensor tensor = std::move(entry.tensor);
    if (tensor.dtype() != dtype) tensor = compute::ConvertTo(dtype, tensor, pool);
    writer.AddTensorEntry(v1::AttentionResponse::kGradientsFieldNumber, entry.name, std::move(tensor));
  }
}

template class GradientTensors<float>;
template class GradientTensors<double>;

}  // namespace attend::rpc
