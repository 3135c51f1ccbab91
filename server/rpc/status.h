// The one place where a grpc::Status is made.
#ifndef ATTEND_SERVER_RPC_STATUS_H_
#define ATTEND_SERVER_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace attend::rpc {

// The status as clients see it: code, message, and the payloads as google.rpc.Status details.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace attend::rpc

#endif  // ATTEND_SERVER_RPC_STATUS_H_
