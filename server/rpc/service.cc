#include "server/rpc/service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/attention_codec.h"
#include "server/rpc/matrix_exp_codec.h"
#include "server/rpc/matrix_log_codec.h"
#include "server/rpc/project_codec.h"
#include "server/rpc/server_info_codec.h"
#include "server/rpc/shared_call.h"

namespace attend::rpc {
namespace {

const google::protobuf::ServiceDescriptor& Descriptor() {
  return *v1::AttentionRequest::descriptor()->file()->FindServiceByName("AttentionService");
}

// The number of the field in which `method` answers with CallStats, or 0.
int StatsField(const std::string& method) {
  const auto* field = Descriptor().FindMethodByName(method)->output_type()->FindFieldByName("stats");
  return field == nullptr ? 0 : field->number();
}

}  // namespace

std::string ServiceName() { return Descriptor().full_name(); }

std::vector<std::string> MethodNames() {
  std::vector<std::string> names;
  for (int i = 0; i < Descriptor().method_count(); ++i) names.push_back(Descriptor().method(i)->name());
  return names;
}

Service::Service(const CallEnvironment& environment, metrics::MetricsRegistry& metrics,
                 const v1::GetServerInfoResponse& server_info, const SharedMemoryFolder* shared_memory)
    : environment_(environment) {
  const auto add = [&](const std::string& name, Decoder decode, const google::protobuf::Message& type) {
    const auto shared_bytes = [&type](absl::Span<const WireSlice> request) { return SharedInputBytes(request, type); };
    AddUnary({name, WithSharedMemory(std::move(decode), shared_memory, environment.max_message_bytes),
              shared_memory == nullptr ? nullptr : SharedBytes(shared_bytes), StatsField(name), metrics.Method(name)});
  };
  add("Attention", DecodeAttention, v1::AttentionRequest::default_instance());
  add("MatrixExp", DecodeMatrixExp, v1::MatrixExpRequest::default_instance());
  add("Project", DecodeProject, v1::ProjectRequest::default_instance());
  add("MatrixLog", DecodeMatrixLog, v1::MatrixLogRequest::default_instance());
  const std::string info = "GetServerInfo";
  AddUnary({info, ServerInfoDecoder(server_info), nullptr, StatsField(info), metrics.Method(info)});
}

void Service::AddUnary(Method the_method) {
  const std::string path = absl::StrCat("/", ServiceName(), "/", the_method.name);
  const int index = static_cast<int>(methods_.size());
  const Method& method = *methods_.emplace_back(std::make_unique<const Method>(std::move(the_method)));
  // gRPC keeps the pointer to the name, not the name.
  paths_.push_back(std::make_unique<const std::string>(path));
  AddMethod(
      new grpc::internal::RpcServiceMethod(paths_.back()->c_str(), grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
  MarkMethodRawCallback(index, new grpc::internal::CallbackBidiHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
                                   [this, &method](grpc::CallbackServerContext* context) {
                                     return StartCall(environment_, method, *context);
                                   }));
}

}  // namespace attend::rpc
