#include "client/cli/local_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/app/options.h"
#include "server/app/server.h"

namespace attend::cli {
namespace {

class InProcessServer : public HostedServer {
 public:
  explicit InProcessServer(std::unique_ptr<app::Server> server) : server_(std::move(server)) {}

  std::string target() const override { return absl::StrCat("127.0.0.1:", server_->port()); }

 private:
  const std::unique_ptr<app::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HostedServer>> StartLocalServer(uint64_t max_message_bytes) {
  app::Options options;
  options.listen = "127.0.0.1:0";
  options.metrics_listen = "";
  options.reflection = false;
  options.max_message_bytes = max_message_bytes;
  // A refused request reaches the user as the call's error; the server's own line about it would say it twice.
  options.log_level = "off";
  absl::StatusOr<std::unique_ptr<app::Server>> server = app::Server::Start(options);
  if (!server.ok()) return server.status();
  return std::make_unique<InProcessServer>(*std::move(server));
}

}  // namespace attend::cli
