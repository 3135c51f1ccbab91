#include "server/app/grpc_log.h"

#include <grpc/support/log.h>

namespace attend::app {
namespace {

// gRPC's hook takes a plain function, so the logger has to be found without an argument.
logging::Logger* grpc_logger = nullptr;

void LogLine(gpr_log_func_args* line) {
  grpc_logger->Debug("grpc", {{"severity", gpr_log_severity_string(line->severity)}, {"detail", line->message}});
}

}  // namespace

void RouteGrpcLog(logging::Level level) {
  static logging::Logger logger(level);
  grpc_logger = &logger;
  gpr_set_log_function(LogLine);
}

}  // namespace attend::app
