// Splits a serialized request: what is a Tensor stays where it is, in the wire's slices; the rest is parsed as an
// ordinary small message. Thread-compatible.
//
// In the parsed message every Tensor is a stub whose `shape` lists indices into the request's tensors, in the order in
// which they came. Protobuf merges repeated occurrences of a field, oneofs and maps itself while it parses the stubs,
// so a stub with several indices is a tensor that came in several pieces, to be read one after the other.
#ifndef ATTEND_SERVER_RPC_WIRE_READER_H_
#define ATTEND_SERVER_RPC_WIRE_READER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "attend/v1/attend.pb.h"
#include "server/rpc/request_bytes.h"
#include "server/rpc/wire_cursor.h"

namespace attend::rpc {

class WireRequest {
 public:
  // Parses `bytes` into `message`, which may be any message of the contract. Unknown fields are skipped.
  // REQUIRES: the slices' memory and the span outlive the request.
  // Returns INVALID_ARGUMENT where the bytes are not such a message.
  // A field "results" of type SharedMemory is noted in the request's SharedCall.
  static absl::StatusOr<WireRequest> Parse(const RequestBytes& bytes, google::protobuf::Message& message);

  // The bodies of the Tensor that `stub` stands for.
  std::vector<WireCursor> Pieces(const v1::Tensor& stub) const;

  // Bytes of shared memory that all its tensors name together.
  uint64_t SharedBytes() const;

  uint64_t bytes() const { return bytes_; }
  SharedCall* shared() const { return shared_; }             // null: shared memory is refused
  runtime::Executor* executor() const { return executor_; }  // null: the calling thread

 private:
  std::vector<WireCursor> tensors_;
  uint64_t bytes_ = 0;
  SharedCall* shared_ = nullptr;
  runtime::Executor* executor_ = nullptr;
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_WIRE_READER_H_
