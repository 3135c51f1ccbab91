// Reads the tensors of one request, and holds them to a common dtype. Not thread-safe.
#ifndef ATTEND_SERVER_RPC_FIELD_READER_H_
#define ATTEND_SERVER_RPC_FIELD_READER_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"
#include "server/rpc/tensor_decoder.h"

namespace attend::rpc {

class FieldReader {
 public:
  FieldReader(const WireRequest& request, runtime::BufferPool& pool) : decoder_(request, pool) {}

  // Decodes a floating tensor into `to`. The first one read sets the dtype for all that follow.
  absl::Status Floating(const v1::Tensor& stub, absl::string_view field, compute::Tensor& to,
                        Values allowed = Values::kFinite);

  // As Floating; `stub` may be null, which is refused with `expected`, such as "a tensor [d, e]".
  absl::Status Required(const v1::Tensor* stub, absl::string_view field, absl::string_view expected,
                        compute::Tensor& to);

  // Decodes a BOOL tensor into `to`.
  absl::Status Bool(const v1::Tensor& stub, absl::string_view field, compute::Tensor& to);

  // What the floating tensors came as. REQUIRES: one was read.
  compute::DType wire_dtype() const { return *wire_dtype_; }

 private:
  TensorDecoder decoder_;
  std::optional<compute::DType> wire_dtype_;
  std::string first_field_;
};

// INVALID_ARGUMENT unless `tensor` has a rank in [least, most].
absl::Status CheckRank(const compute::Tensor& tensor, absl::string_view field, int least, int most);

// INVALID_ARGUMENT unless `got` equals `expected`: "<field>: got 63 columns, expected 64 (d of heads.query)".
absl::Status CheckDimension(absl::string_view field, absl::string_view noun, int64_t got, int64_t expected,
                            absl::string_view why);

// `scale`, or INVALID_ARGUMENT where the type that computes for `wire_dtype` cannot hold it (NaN and infinity
// included).
absl::StatusOr<double> CheckedScale(absl::string_view field, double scale, compute::DType wire_dtype);

// The floating dtype that results are asked for in; `absent` where the field is unset.
absl::StatusOr<compute::DType> ReadOutputDType(v1::DataType requested, absl::string_view field, compute::DType absent);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_FIELD_READER_H_
