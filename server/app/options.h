// What the operator can set. Plain values; not thread-safe, fixed once the server runs.
#ifndef ATTEND_SERVER_APP_OPTIONS_H_
#define ATTEND_SERVER_APP_OPTIONS_H_

#include <cstdint>
#include <string>
#include <variant>

namespace attend::app {

struct Options {
  // Addresses
  std::string listen = "0.0.0.0:50051";         // gRPC; port 0: any free one; or unix:PATH
  int socket_mode = 0660;                       // of the file of unix:PATH
  std::string metrics_listen = "0.0.0.0:9464";  // HTTP; port 0: any free one; empty: off
  bool reflection = true;

  std::string shared_memory_dir;  // tensors of callers on this host; empty: off

  // Resources
  bool compression = true;                              // of messages, where callers compress them
  int compute_threads = 0;                              // 0: the cgroup's CPU quota
  uint64_t max_message_bytes = uint64_t{256} << 20;     // one request or response
  uint64_t memory_budget_bytes = 0;                     // 0: half of the cgroup's limit
  uint64_t assumed_message_bytes = uint64_t{16} << 20;  // reserved for a call that does not state its size
  int max_calls = 64;                                   // admitted at once
  int max_queue = 1024;                                 // waiting to be admitted; more are refused

  // Life cycle
  double transfer_timeout_seconds = 60;  // for a message to come or go, and 4 s per MiB; 0: for ever
  double shutdown_grace_seconds = 10;    // calls in flight get this long after SIGTERM

  // Logs
  std::string log_level = "info";  // trace, debug, info, warn, error, off
};

struct ExitRequest {
  int code = 0;  // --help and --version: 0; bad flags: 2. The text is already printed.
};

// From flags, then environment variables (ATTEND_ and the flag's name in capitals; an empty one counts as unset), then
// the file of --config or ATTEND_CONFIG, then the defaults above. Never throws. A file is TOML or INI, a flag's name
// and its value per line:
//
//   # /etc/attend.toml
//   listen = "0.0.0.0:50051"
//   socket_mode = "600"
//   metrics_listen = "off"
//   reflection = false
//   shared_memory_dir = "/dev/shm/attend"
//   compression = false
//   compute_threads = 4
//   max_message_bytes = "64MiB"
//   memory_budget = "1GiB"
//   assumed_message_bytes = "8MiB"
//   max_calls = 64
//   max_queue = 256
//   transfer_timeout_seconds = 30
//   shutdown_grace_seconds = 20
//   log_level = "warn"
std::variant<Options, ExitRequest> ParseOptions(int argc, const char* const* argv);

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_OPTIONS_H_
