// Calls with prepared bytes, over a connection of their own: what a C++ client costs at least. Thread-safe.
#ifndef ATTEND_TESTS_BENCH_RAW_CALLER_H_
#define ATTEND_TESTS_BENCH_RAW_CALLER_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "attend/v1/attend.pb.h"

namespace attend::bench {

using LoadClock = std::chrono::steady_clock;

// A connection of its own without limits on messages.
std::shared_ptr<grpc::Channel> NewChannel(const std::string& address);

// The bytes of a message, to be sent any number of times without a copy.
grpc::ByteBuffer Serialized(const google::protobuf::MessageLite& message);

// Attention of query = key = value [1, heads, n, d], serialized.
grpc::ByteBuffer AttentionBytes(int64_t heads, int64_t n, int64_t d);

class RawCaller {
 public:
  // `method` such as "Attention". With `states_size` each call tells its size in the metadata.
  RawCaller(const std::string& address, const std::string& method, bool states_size);

  grpc::Status Call(const grpc::ByteBuffer& request, grpc::ByteBuffer* response) const;
  // The same on the caller's context, so that it can be cancelled.
  grpc::Status CallWith(grpc::ClientContext& context, const grpc::ByteBuffer& request,
                        grpc::ByteBuffer* response) const;

  // Calls `done` with the status on one of gRPC's threads.
  void Start(const grpc::ByteBuffer& request, std::chrono::milliseconds timeout,
             std::function<void(const grpc::Status&)> done);

 private:
  using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer>;

  void Prepare(grpc::ClientContext& context, const grpc::ByteBuffer& request) const;

  const std::string path_;
  const bool states_size_;
  const std::shared_ptr<grpc::Channel> channel_;
  Stub stub_;
};

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_RAW_CALLER_H_
