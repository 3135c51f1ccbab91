// Unix domain sockets as an address to listen on. Call from one thread, while the server starts.
#ifndef ATTEND_SERVER_APP_UNIX_SOCKET_H_
#define ATTEND_SERVER_APP_UNIX_SOCKET_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace attend::app {

// Whether `address` is "unix:PATH".
bool IsUnixAddress(absl::string_view address);

// PATH. REQUIRES: IsUnixAddress(address).
std::string UnixSocketPath(const std::string& address);

// Makes `address`, a "unix:PATH", free to listen on: removes the socket of a server that died. UNAVAILABLE with the
// path where a server listens, where something else than a socket stands there, or where no socket can be made.
absl::Status PrepareUnixSocket(const std::string& address);

// While it lives, sockets that this process binds get the file mode `mode`. No other thread may make files meanwhile.
class SocketMode {
 public:
  explicit SocketMode(mode_t mode);
  ~SocketMode();
  SocketMode(const SocketMode&) = delete;
  SocketMode& operator=(const SocketMode&) = delete;

 private:
  const mode_t before_;
};

}  // namespace attend::app

#endif  // ATTEND_SERVER_APP_UNIX_SOCKET_H_
