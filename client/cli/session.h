// What every subcommand shares: the common flags, the console, the array files, the connection, and how failures
// become messages and exit codes. Not thread-safe.
#ifndef ATTEND_CLIENT_CLI_SESSION_H_
#define ATTEND_CLIENT_CLI_SESSION_H_

#include <cstdint>
#include <istream>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/array_files.h"
#include "client/cli/console.h"
#include "client/cli/local_server.h"
#include "client/lib/client.h"

namespace attend::cli {

struct CommonFlags {
  std::string target = "127.0.0.1:50051";
  bool target_given = false;  // by flag or environment
  bool local = false;
  double timeout_seconds = 60;
  uint64_t max_message_mib = 256;
  bool json = false;
  bool quiet = false;
};

class Session {
 public:
  // `console` and `standard_input` are not owned.
  Session(const CommonFlags& flags, StartServer start_server, std::istream& standard_input, Console& console);

  Console& console() { return console_; }
  ArrayFiles& files() { return files_; }

  // The client for --target, or for a server that starts in this process with the first call (--local). The pointer
  // lives as long as this.
  absl::StatusOr<const client::Client*> Connect();

  // From now on --local holds, unless a target was given.
  void PreferLocal();

  // Where Connect connected: "127.0.0.1:50051", or "127.0.0.1:41873, in this process".
  std::string ServerText() const;

  // Each prints what is wrong (stderr, and with --json the document {"error": ...}) and returns the exit code.
  int UsageFailure(const absl::Status& status);
  int CallFailure(const absl::Status& status);

 private:
  int Fail(const absl::Status& status, int exit_code, const std::string& hint);

  CommonFlags flags_;
  const StartServer start_server_;
  Console& console_;
  ArrayFiles files_;
  std::unique_ptr<HostedServer> hosted_;
  std::optional<client::Client> client_;
};

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_SESSION_H_
