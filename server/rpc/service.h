// attend.v1.AttentionService on gRPC.
#ifndef ATTEND_SERVER_RPC_SERVICE_H_
#define ATTEND_SERVER_RPC_SERVICE_H_

#include <grpcpp/impl/service_type.h>

#include <memory>
#include <string>
#include <vector>

#include "attend/v1/attend.pb.h"
#include "server/rpc/call.h"
#include "server/rpc/shared_memory.h"

namespace attend::rpc {

// The service's full name, and its methods in the contract's order.
std::string ServiceName();
std::vector<std::string> MethodNames();

// Thread-safe. `shared_memory` is null where tensors in shared memory are refused.
// REQUIRES: what the environment, the metrics and it refer to outlives the server that this is registered
// with.
class Service final : public grpc::Service {
 public:
  Service(const CallEnvironment& environment, metrics::MetricsRegistry& metrics,
          const v1::GetServerInfoResponse& server_info, const SharedMemoryFolder* shared_memory);

 private:
  void AddUnary(Method method);

  const CallEnvironment environment_;
  std::vector<std::unique_ptr<const Method>> methods_;
  std::vector<std::unique_ptr<const std::string>> paths_;  // "/attend.v1.AttentionService/Attention"
};

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_SERVICE_H_
