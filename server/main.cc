#include <chrono>
#include <cstdio>
#include <cstring>

#include "server/app/grpc_log.h"
#include "server/app/options.h"
#include "server/app/process_tuning.h"
#include "server/app/server.h"
#include "server/app/signals.h"

namespace {

constexpr int kCannotServe = 1;
constexpr int kCannotEndCalls = 3;
constexpr std::chrono::seconds kTimeToEndCalls{5};  // beyond the grace

std::chrono::milliseconds Grace(const attend::app::Options& options) {
  return std::chrono::milliseconds(static_cast<int64_t>(options.shutdown_grace_seconds * 1000));
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = attend::app::ParseOptions(argc, argv);
  if (const auto* exit = std::get_if<attend::app::ExitRequest>(&parsed)) return exit->code;
  const attend::app::Options options = attend::app::ForThisMachine(std::get<attend::app::Options>(parsed));

  attend::app::TuneProcess(options.memory_budget_bytes, options.compute_threads);
  attend::app::RouteGrpcLog(attend::logging::ParseLevel(options.log_level).value_or(attend::logging::Level::kInfo));
  attend::app::BlockTerminationSignals();
  const auto server = attend::app::Server::Start(options);
  if (!server.ok()) {
    std::fprintf(stderr, "attend-server: %s\n", std::string(server.status().message()).c_str());
    return kCannotServe;
  }
  std::printf("%s\n", (*server)->Banner().c_str());
  std::fflush(stdout);
  const int signal = attend::app::WaitForTerminationSignal();
  std::printf("attend-server: %s, finishing calls in flight\n", strsignal(signal));
  std::fflush(stdout);
  attend::app::EndProcessAfter(Grace(options) + kTimeToEndCalls, kCannotEndCalls);
  (*server)->Shutdown(Grace(options));
  return 0;
}
