// gRPC's own messages, in our log's form.
#ifndef ATTEND_SERVER_APP_GRPC_LOG_H_
#define ATTEND_SERVER_APP_GRPC_LOG_H_

#include "server/logging/logger.h"

namespace attend::app {

// Sends what gRPC logs in this process to stderr as debug lines: what it calls an error (a port that is taken, a peer
// that went away) is either reported by us or nothing to wake anybody for. Call once, before gRPC is used.
void RouteGrpcLog(logging::Level level);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_GRPC_LOG_H_
