// Between gRPC's byte buffers and the codec's slices, without copies.
#ifndef ATTEND_SERVER_RPC_GRPC_SLICES_H_
#define ATTEND_SERVER_RPC_GRPC_SLICES_H_

#include <grpcpp/support/byte_buffer.h>

#include <vector>

#include "server/rpc/wire_cursor.h"
#include "server/rpc/wire_writer.h"

namespace attend::rpc {

// Holds on to the slices of a request while they are read.
class RequestSlices {
 public:
  explicit RequestSlices(const grpc::ByteBuffer& request);

  absl::Span<const WireSlice> spans() const { return spans_; }

 private:
  std::vector<grpc::Slice> slices_;
  std::vector<WireSlice> spans_;
};

// A message made of `pieces`; gRPC gives their memory back when it is sent.
grpc::ByteBuffer ToByteBuffer(std::vector<WirePiece> pieces);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_GRPC_SLICES_H_
