#include "server/app/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace attend::app {
namespace {

constexpr char kScheme[] = "unix:";

absl::Status CannotListen(const std::string& address, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", why));
}

// 0, or the error of connecting to the socket at `path`.
int ErrorOfConnecting(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  const int error = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0 ? 0 : errno;
  close(fd);
  return error;
}

}  // namespace

bool IsUnixAddress(absl::string_view address) { return absl::StartsWith(address, kScheme); }

std::string UnixSocketPath(const std::string& address) { return address.substr(sizeof(kScheme) - 1); }

absl::Status PrepareUnixSocket(const std::string& address) {
  const std::string path = UnixSocketPath(address);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (access(folder.empty() ? "." : folder.c_str(), W_OK | X_OK) != 0) {
    return CannotListen(address, absl::StrCat("its folder: ", std::strerror(errno)));
  }
  struct stat found;
  if (lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : CannotListen(address, std::strerror(errno));
  }
  if (!S_ISSOCK(found.st_mode)) return CannotListen(address, "something else than a socket stands there");
  const int error = ErrorOfConnecting(path);
  if (error == 0 || error == EAGAIN) return CannotListen(address, "a server listens there");
  if (error != ECONNREFUSED) return CannotListen(address, std::strerror(error));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return CannotListen(address, std::strerror(errno));
  return absl::OkStatus();
}

SocketMode::SocketMode(mode_t mode) : before_(umask(0777 & ~mode)) {}
SocketMode::~SocketMode() { umask(before_); }

}  // namespace attend::app
