// A serialized request, the shared memory that its tensors may lie in, and who gathers them. Plain values.
#ifndef ATTEND_SERVER_RPC_REQUEST_BYTES_H_
#define ATTEND_SERVER_RPC_REQUEST_BYTES_H_

#include "absl/types/span.h"
#include "server/rpc/wire_cursor.h"
#include "server/runtime/executor.h"

namespace attend::rpc {

class SharedCall;

struct RequestBytes {
  // Implicit: a request that brings everything with it.
  RequestBytes(absl::Span<const WireSlice> the_slices, SharedCall* the_shared = nullptr,  // NOLINT
               runtime::Executor* the_executor = nullptr)
      : slices(the_slices), shared(the_shared), executor(the_executor) {}

  absl::Span<const WireSlice> slices;
  SharedCall* shared;           // null: inputs in shared memory are refused, "results" is not looked at
  runtime::Executor* executor;  // null: the calling thread gathers all, and nobody can cancel it
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_REQUEST_BYTES_H_
