// What the call wrapper needs to know of an RPC: how to decode it, what it costs, how to run it and how to answer.
// A new RPC is a decoder and an Operation; clock, admission, metrics and status mapping are the wrapper's.
#ifndef ATTEND_SERVER_RPC_OPERATION_H_
#define ATTEND_SERVER_RPC_OPERATION_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/rpc/request_bytes.h"
#include "server/rpc/wire_writer.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/executor.h"

namespace attend::rpc {

// Floating-point operations that a core does in some 0.2 ms, and those in whose time it begins a head or a matrix.
inline constexpr double kBriefFlops = 1.5e7;
inline constexpr double kFlopsToBegin = 1e5;

// A decoded, validated request that can be run once. Not thread-safe.
class Operation {
 public:
  virtual ~Operation() = default;

  // Bytes of the results' elements, as they go back to the caller.
  virtual double ResponseBytes() const = 0;
  // Bytes of each tensor that Encode writes, in its order; empty where the request's shapes do not tell.
  virtual std::vector<double> TensorBytes() const { return {}; }
  // Bytes of working memory beside request and response, with up to `workers` tiles at once.
  virtual double WorkspaceBytes(int workers) const = 0;
  // Floating-point operations of the algorithm. Exact after Run at the latest.
  virtual double Flops() const = 0;

  // Whether Run surely takes less than a millisecond on one thread, if its results are no more than a megabyte.
  virtual bool Brief() const { return false; }

  // Computes. Results are allocated here, after the wrapper has checked the sizes above.
  virtual absl::Status Run(runtime::Executor& executor, runtime::BufferPool& pool) = 0;

  // Writes the response but for its stats, giving the results' memory away. REQUIRES: Run returned OK.
  virtual void Encode(runtime::BufferPool& pool, WireWriter& writer) = 0;
};

// Thread-safe. Decodes a serialized request; its tensors are gathered into `pool`'s memory. The request need not outlive
// the call.
using Decoder = std::function<absl::StatusOr<std::unique_ptr<Operation>>(const RequestBytes& request,
                                                                         runtime::BufferPool& pool)>;

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_OPERATION_H_
