// The gradients of an attention request: what asks for them, and the answer's map of them.
#ifndef ATTEND_SERVER_RPC_ATTENTION_GRADIENTS_H_
#define ATTEND_SERVER_RPC_ATTENTION_GRADIENTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/tokens_backward.h"
#include "server/compute/tensor.h"
#include "server/rpc/attention_inputs.h"
#include "server/rpc/attention_settings.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/wire_writer.h"

namespace attend::rpc {

// grad_output in the type that computes, or no memory where the request has none. It must have the output's shape, and
// the output's dtype or the inputs'. `reader` has read nothing yet: the dtype need not be the inputs'.
absl::StatusOr<compute::Tensor> ReadGradOutput(const v1::AttentionRequest& request, const AttentionInputs& inputs,
                                               const AttentionSettings& settings, const compute::Shape& output_shape,
                                               FieldReader reader, runtime::BufferPool& pool);

// The gradients of all floating inputs of a request, computed in T. Not thread-safe.
template <typename T>
class GradientTensors {
 public:
  // Names and shapes only.
  GradientTensors(const AttentionInputs& inputs, const AttentionSettings& settings);

  std::vector<double> EntryElements() const;  // in the order of Encode
  void Allocate(runtime::BufferPool& pool);

  // REQUIRES: allocated.
  void SetZero();
  compute::AttentionGradients<T> ForHeads(const AttentionInputs& inputs) const;
  compute::TokensGradients<T> ForTokens() const;

  // Writes the entries in `dtype`, giving their memory away.
  void Encode(compute::DType dtype, runtime::BufferPool& pool, WireWriter& writer);

 private:
  struct Entry {
    std::string name;
    compute::Shape shape;
    compute::Tensor tensor;
  };

  void Add(const char* name, const compute::Tensor& input);
  T* At(const char* name) const;  // null: the request has no such input
  compute::ParameterGradients<T> Parameters() const;

  std::vector<Entry> entries_;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_ATTENTION_GRADIENTS_H_
