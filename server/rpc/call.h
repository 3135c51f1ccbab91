// One unary call, whatever its RPC: admitted on its headers, read, decoded, run, encoded, counted. A new RPC adds a
// decoder and a kernel and no line here.
#ifndef ATTEND_SERVER_RPC_CALL_H_
#define ATTEND_SERVER_RPC_CALL_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "server/logging/logger.h"
#include "server/metrics/call_metrics.h"
#include "server/rpc/operation.h"
#include "server/rpc/transfer_watch.h"
#include "server/runtime/admission.h"
#include "server/runtime/buffer_pool.h"
#include "server/runtime/compute_pool.h"

namespace attend::rpc {

// Trailing metadata of a RESOURCE_EXHAUSTED, by which gRPC's own retries abide: milliseconds, or -1.
inline constexpr char kRetryPushbackMetadata[] = "grpc-retry-pushback-ms";

// Request metadata in which a client may state the size of its message in bytes. A call reserves twice that: the
// message as it came and its tensors gathered.
inline constexpr char kMessageBytesMetadata[] = "attend-message-bytes";

// What all calls share. Outlives them.
struct CallEnvironment {
  runtime::ComputePool& compute;
  runtime::Admission& admission;
  runtime::BufferPool& buffers;
  logging::Logger& logger;
  TransferWatch& transfers;
  std::atomic<int>& open_calls;    // that gRPC has not done with, answered or not
  uint64_t max_message_bytes;      // of a request, and of a response
  uint64_t assumed_message_bytes;  // reserved for a call that does not state its size
};

using SharedBytes = std::function<uint64_t(absl::Span<const WireSlice> request)>;

// One RPC of the service. Outlives its calls.
struct Method {
  std::string name;  // "Attention"
  Decoder decoder;
  // Bytes of shared memory that a request's tensors name, or null: it can name none. Thread-safe.
  SharedBytes shared_bytes;
  int stats_field;  // number of the response's CallStats, 0 where it has none
  metrics::MethodMetrics& metrics;
};

// The reactor of one call, which deletes itself. gRPC takes unary methods for bidirectional streams here, so that it
// does not read the message before the call is admitted; on the wire nothing differs.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartCall(const CallEnvironment& environment,
                                                                       const Method& method,
                                                                       grpc::CallbackServerContext& context);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_CALL_H_
