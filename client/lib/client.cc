#include "client/lib/client.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "absl/strings/str_cat.h"
#include "attend/v1/attend.grpc.pb.h"
#include "client/lib/status.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace attend::client {
namespace {

namespace health_v1 = ::grpc::health::v1;

constexpr char kMessageBytesKey[] = "attend-message-bytes";

std::shared_ptr<grpc::Channel> Connect(const ClientOptions& options) {
  const int limit = static_cast<int>(std::min<uint64_t>(options.max_message_bytes, std::numeric_limits<int>::max()));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(limit);
  arguments.SetMaxSendMessageSize(limit);
  // Clients of one process must not share a connection by accident: each Client is one.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct Client::Channel {
  explicit Channel(const ClientOptions& the_options)
      : options(the_options),
        channel(Connect(options)),
        service(v1::AttentionService::NewStub(channel)),
        health(health_v1::Health::NewStub(channel)) {}

  // One blocking unary call: call(context, request, &response) is the stub's method.
  template <typename Response, typename Request, typename Call>
  absl::StatusOr<Response> Unary(const Request& request, Call call) const {
    const size_t bytes = request.ByteSizeLong();
    if (bytes > options.max_message_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("the request has ", bytes, " bytes, the client's limit is ",
                                                       options.max_message_bytes, " (max_message_bytes)"));
    }
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + options.timeout));
    context.AddMetadata(kMessageBytesKey, absl::StrCat(bytes));
    Response response;
    const grpc::Status status = call(&context, request, &response);
    if (!status.ok()) return MakeCallError(status.error_code(), status.error_message(), status.error_details());
    return response;
  }

  const ClientOptions options;
  const std::shared_ptr<grpc::Channel> channel;
  const std::unique_ptr<v1::AttentionService::Stub> service;
  const std::unique_ptr<health_v1::Health::Stub> health;
};

Client::Client(const ClientOptions& options) : channel_(std::make_unique<Channel>(options)) {}
Client::~Client() = default;
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;

absl::StatusOr<v1::AttentionResponse> Client::Attention(const v1::AttentionRequest& request) const {
  return channel_->Unary<v1::AttentionResponse>(
      request, [this](auto&&... arguments) { return channel_->service->Attention(arguments...); });
}

absl::StatusOr<v1::MatrixExpResponse> Client::MatrixExp(const v1::MatrixExpRequest& request) const {
  return channel_->Unary<v1::MatrixExpResponse>(
      request, [this](auto&&... arguments) { return channel_->service->MatrixExp(arguments...); });
}

absl::StatusOr<v1::ProjectResponse> Client::Project(const v1::ProjectRequest& request) const {
  return channel_->Unary<v1::ProjectResponse>(
      request, [this](auto&&... arguments) { return channel_->service->Project(arguments...); });
}

absl::StatusOr<v1::MatrixLogResponse> Client::MatrixLog(const v1::MatrixLogRequest& request) const {
  return channel_->Unary<v1::MatrixLogResponse>(
      request, [this](auto&&... arguments) { return channel_->service->MatrixLog(arguments...); });
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo() const {
  return channel_->Unary<v1::GetServerInfoResponse>(v1::GetServerInfoRequest(), [this](auto&&... arguments) {
    return channel_->service->GetServerInfo(arguments...);
  });
}

absl::StatusOr<Health> Client::CheckHealth(const std::string& service) const {
  health_v1::HealthCheckRequest request;
  request.set_service(service);
  absl::StatusOr<health_v1::HealthCheckResponse> response = channel_->Unary<health_v1::HealthCheckResponse>(
      request, [this](auto&&... arguments) { return channel_->health->Check(arguments...); });
  if (!response.ok()) return response.status();
  switch (response->status()) {
    case health_v1::HealthCheckResponse::SERVING:
      return Health::kServing;
    case health_v1::HealthCheckResponse::NOT_SERVING:
      return Health::kNotServing;
    default:
      return Health::kUnknown;
  }
}

}  // namespace attend::client
