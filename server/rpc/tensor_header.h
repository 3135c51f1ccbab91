// What a Tensor on the wire says of itself, before its elements are read.
#ifndef ATTEND_SERVER_RPC_TENSOR_HEADER_H_
#define ATTEND_SERVER_RPC_TENSOR_HEADER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"
#include "server/compute/tensor.h"
#include "server/rpc/wire_cursor.h"

namespace attend::rpc {

// The payload fields of Tensor, by their numbers in the contract.
enum class Payload { kNone = 0, kRaw = 3, kFloats = 4, kDoubles = 5, kInt32s = 6, kBools = 7, kShared = 8 };

struct TensorHeader {
  compute::DType dtype = compute::DType::kFloat32;
  compute::Shape shape;
  int64_t elements = 0;  // the product of the shape
  Payload payload = Payload::kNone;
  WireCursor raw;           // with kRaw: the bytes
  v1::SharedMemory shared;  // with kShared: where the bytes are; their length fits, nothing else is checked
};

// Reads all but the payload of the Tensor made of `pieces`, and checks that dtype, shape and payload fit together.
absl::StatusOr<TensorHeader> ReadTensorHeader(const std::vector<WireCursor>& pieces, absl::string_view field);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_TENSOR_HEADER_H_
