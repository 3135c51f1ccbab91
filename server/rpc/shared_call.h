// Shared memory in one call: what its inputs take of it, and where its results go. Any RPC gets it by WithSharedMemory;
// its codec and kernel do not know.
#ifndef ATTEND_SERVER_RPC_SHARED_CALL_H_
#define ATTEND_SERVER_RPC_SHARED_CALL_H_

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attend/v1/attend.pb.h"
#include "server/rpc/operation.h"
#include "server/rpc/request_bytes.h"
#include "server/rpc/shared_memory.h"

namespace attend::rpc {

// Not thread-safe; one per call.
class SharedCall {
 public:
  // Inputs may take up to `max_bytes` together. `folder` is null where the server has none.
  SharedCall(const SharedMemoryFolder* folder, uint64_t max_bytes) : folder_(folder), max_bytes_(max_bytes) {}

  // An input's bytes. INVALID_ARGUMENT, naming `field`, where they cannot be had; RESOURCE_EXHAUSTED above the limit.
  absl::StatusOr<SharedRegion> OpenInput(const v1::SharedMemory& place, absl::string_view field);
  uint64_t input_bytes() const { return input_bytes_; }

  // Where the results go: the request's field "results", if it has one.
  void NoteResults(const v1::SharedMemory& place) { results_ = place; }
  const std::optional<v1::SharedMemory>& results() const { return results_; }
  // Errors as OpenInput. REQUIRES: results() is set.
  absl::StatusOr<SharedRegion> OpenResults() const;

 private:
  const SharedMemoryFolder* const folder_;
  const uint64_t max_bytes_;
  uint64_t input_bytes_ = 0;
  std::optional<v1::SharedMemory> results_;
};

// Bytes of shared memory that the tensors of a serialized request name; `type` is any message of the request's type. 0
// where the bytes are no such request: decoding tells.
uint64_t SharedInputBytes(absl::Span<const WireSlice> request, const google::protobuf::Message& type);

// Refuses `field` where shared memory is off.
absl::Status NoSharedMemory(absl::string_view field);

// A codec's function, such as DecodeAttention.
// `decode` for requests whose tensors may lie in `folder` (null: refused) and whose results may go there. Results are
// placed one after another, each at a multiple of 64 bytes from the region's offset; INVALID_ARGUMENT with the bytes
// needed where the region is too small: before the operation runs, where its TensorBytes tell. REQUIRES: the folder
// outlives the decoder and its operations.
Decoder WithSharedMemory(Decoder decode, const SharedMemoryFolder* folder, uint64_t max_bytes);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_SHARED_CALL_H_
