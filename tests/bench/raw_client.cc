#include "tests/bench/raw_client.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/client_unary_call.h>

#include <cstdio>
#include <cstdlib>

namespace attend::bench {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

grpc::ByteBuffer RawClient::Call(const char* path, const std::string& request) const {
  const grpc::Slice bytes(request.data(), request.size(), grpc::Slice::STATIC_SLICE);
  const grpc::ByteBuffer message(&bytes, 1);
  const grpc::internal::RpcMethod method(path, grpc::internal::RpcMethod::NORMAL_RPC);
  grpc::ClientContext context;
  context.AddMetadata("attend-message-bytes", std::to_string(request.size()));
  grpc::ByteBuffer answer;
  const grpc::Status status = grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
      channel_.get(), method, &context, message, &answer);
  if (!status.ok()) {
    std::fprintf(stderr, "attend-bench: %s failed: %s\n", path, status.error_message().c_str());
    std::exit(1);
  }
  return answer;
}

}  // namespace attend::bench
