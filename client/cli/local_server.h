// How the program gets a server into its own process: the one joint between the program and the server. Everything
// else of the program sees only this interface (and tests put a stand-in behind it).
#ifndef ATTEND_CLIENT_CLI_LOCAL_SERVER_H_
#define ATTEND_CLIENT_CLI_LOCAL_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace attend::cli {

// A running server; its end stops it.
class HostedServer {
 public:
  virtual ~HostedServer() = default;
  virtual std::string target() const = 0;  // HOST:PORT
};

using StartServer = std::function<absl::StatusOr<std::unique_ptr<HostedServer>>(uint64_t max_message_bytes)>;

// The real one: attend::app::Server on 127.0.0.1, any free port, without metrics and reflection.
absl::StatusOr<std::unique_ptr<HostedServer>> StartLocalServer(uint64_t max_message_bytes);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_LOCAL_SERVER_H_
