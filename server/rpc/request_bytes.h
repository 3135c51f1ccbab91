// A serialized request, and the shared memory that its tensors may lie in. Plain values.
#ifndef ATTEND_SERVER_RPC_REQUEST_BYTES_H_
#define ATTEND_SERVER_RPC_REQUEST_BYTES_H_

#include "absl/types/span.h"
#include "server/rpc/wire_cursor.h"

namespace attend::rpc {

class SharedCall;

struct RequestBytes {
  // Implicit: a request that brings everything with it.
  RequestBytes(absl::Span<const WireSlice> the_slices, SharedCall* the_shared = nullptr)  // NOLINT
      : slices(the_slices), shared(the_shared) {}

  absl::Span<const WireSlice> slices;
  SharedCall* shared;  // null: inputs in shared memory are refused, "results" is not looked at
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_REQUEST_BYTES_H_
