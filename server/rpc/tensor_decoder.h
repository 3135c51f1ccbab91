// Tensors from the wire into aligned pooled memory: one gather, with conversion and the check for NaN and infinity done
// on each piece while it is hot. Not thread-safe; one per call.
#ifndef ATTEND_SERVER_RPC_TENSOR_DECODER_H_
#define ATTEND_SERVER_RPC_TENSOR_DECODER_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/tensor.h"
#include "server/rpc/shared_memory.h"
#include "server/rpc/wire_reader.h"
#include "server/runtime/buffer_pool.h"

namespace attend::rpc {

// Which values a floating tensor may hold.
enum class Values { kFinite, kFiniteOrMinusInfinity };

struct DecodedTensor {
  compute::Tensor tensor;                                // BFLOAT16 and FLOAT16 arrive as FLOAT32
  compute::DType wire_dtype = compute::DType::kFloat32;  // what the caller sent
};

class TensorDecoder {
 public:
  // REQUIRES: both outlive the decoder.
  TensorDecoder(const WireRequest& request, runtime::BufferPool& pool) : request_(request), pool_(pool) {}

  // The tensor that `stub` (of the request's parsed message) stands for. INVALID_ARGUMENT, naming `field`, for an
  // unknown dtype, a bad shape, payloads that are missing, doubled or of the wrong length, shared memory
  // that cannot be had, and values that are not allowed.
  absl::StatusOr<DecodedTensor> Decode(const v1::Tensor& stub, absl::string_view field,
                                       Values allowed = Values::kFinite) const;

 private:
  absl::StatusOr<SharedRegion> OpenRegion(const v1::SharedMemory& place, absl::string_view field) const;

  const WireRequest& request_;
  runtime::BufferPool& pool_;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_TENSOR_DECODER_H_
