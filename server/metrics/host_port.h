// An address to listen on, as an operator writes it. Thread-safe.
#ifndef ATTEND_SERVER_METRICS_HOST_PORT_H_
#define ATTEND_SERVER_METRICS_HOST_PORT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attend::metrics {

struct HostPort {
  std::string host;  // without brackets
  int port = 0;      // 0 to 65535
};

// Takes "127.0.0.1:80", "localhost:80" and "[::1]:80"; looks no name up. Returns INVALID_ARGUMENT with what came and
// what is allowed.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

}  // namespace attend::metrics

#endif  // ATTEND_SERVER_METRICS_HOST_PORT_H_
