#include "tests/bench/raw_caller.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/security/credentials.h>

#include <utility>

#include "tests/bench/attention_setup.h"

namespace attend::bench {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

grpc::ByteBuffer Serialized(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer AttentionBytes(int64_t heads, int64_t n, int64_t d) {
  const std::vector<float> values = RandomValues(static_cast<size_t>(heads * n * d), 1);
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  for (const int64_t dimension : {int64_t{1}, heads, n, d}) tensor.add_shape(dimension);
  tensor.set_raw(values.data(), values.size() * sizeof(float));
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = tensor;
  *request.mutable_heads()->mutable_key() = tensor;
  *request.mutable_heads()->mutable_value() = tensor;
  return Serialized(request);
}

RawCaller::RawCaller(const std::string& address, const std::string& method, bool states_size)
    : path_("/attend.v1.AttentionService/" + method),
      states_size_(states_size),
      channel_(NewChannel(address)),
      stub_(channel_) {}

grpc::Status RawCaller::Call(const grpc::ByteBuffer& request, grpc::ByteBuffer* response) const {
  grpc::ClientContext context;
  return CallWith(context, request, response);
}

grpc::Status RawCaller::CallWith(grpc::ClientContext& context, const grpc::ByteBuffer& request,
                                 grpc::ByteBuffer* response) const {
  Prepare(context, request);
  const grpc::internal::RpcMethod method(path_.c_str(), grpc::internal::RpcMethod::NORMAL_RPC);
  return grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(channel_.get(), method, &context,
                                                                               request, response);
}

void RawCaller::Start(const grpc::ByteBuffer& request, std::chrono::milliseconds timeout,
                      std::function<void(const grpc::Status&)> done) {
  struct Pending {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };
  auto pending = std::make_shared<Pending>();
  Prepare(pending->context, request);
  pending->context.set_deadline(std::chrono::system_clock::now() + timeout);
  pending->request = request;
  stub_.UnaryCall(&pending->context, path_, grpc::StubOptions(), &pending->request, &pending->response,
                  [pending, done = std::move(done)](grpc::Status status) mutable {
                    // Who waits for `done` may close the channel then, and gRPC cannot do that on this thread.
                    pending.reset();
                    done(status);
                  });
}

void RawCaller::Prepare(grpc::ClientContext& context, const grpc::ByteBuffer& request) const {
  if (states_size_) context.AddMetadata("attend-message-bytes", std::to_string(request.Length()));
}

}  // namespace attend::bench
