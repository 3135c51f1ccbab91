#include "server/app/stalled_connections.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace attend::app {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLooksEvery{100};
constexpr milliseconds kPatienceWithMany{1000};

int UnsentBytes(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

std::optional<uint64_t> BytesAcknowledged(int fd) {
  tcp_info info = {};
  socklen_t size = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked)) return std::nullopt;
  return info.tcpi_bytes_acked;
}

// By more than one of the parts of 36 KiB that the system cuts messages into, up or down: once the peer has taken
// something and the socket is filled up again, it holds another number of parts. Does nothing to TCP.
void ResizeUnixSocket(int fd) {
  constexpr int kHalfOfChange = 32768;  // the system doubles what it is told
  int domain = 0, bytes = 0;
  socklen_t size = sizeof(domain);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return;
  size = sizeof(bytes);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size) != 0) return;
  bytes = bytes / 2 ^ kHalfOfChange;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

bool IsFull(int fd) {
  pollfd events = {.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&events, 1, 0) == 0;
}

}  // namespace

StalledConnections::StalledConnections(Settings settings, const std::atomic<int>& open_calls, logging::Logger& logger)
    : settings_(std::move(settings)),
      open_calls_(open_calls),
      logger_(logger),
      descriptors_(opendir("/proc/self/fd")),
      nothing_(open("/dev/null", O_RDONLY | O_CLOEXEC)),
      held_(fcntl(nothing_, F_DUPFD_CLOEXEC, 0)) {
  if (descriptors_ == nullptr || held_ < 0) {
    logger_.Warn("stalled connections are not watched", {{"detail", std::strerror(errno)}});
    return;
  }
  thread_ = std::thread([this] { Run(); });
}

StalledConnections::~StalledConnections() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    stop_changed_.notify_all();
    thread_.join();
  }
  if (held_ >= 0) close(held_);
  if (nothing_ >= 0) close(nothing_);
}

void StalledConnections::EndPatience(Clock::time_point then) {
  std::lock_guard lock(mutex_);
  patience_ends_ = then;
}

void StalledConnections::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_changed_.wait_for(lock, kLooksEvery, [this] { return stop_; })) {
    const Clock::time_point now = Clock::now();
    const milliseconds patience = now < patience_ends_ ? PatienceNow() : milliseconds(0);
    if (patience == milliseconds::max()) continue;
    lock.unlock();
    Look(now, patience);
    lock.lock();
  }
}

milliseconds StalledConnections::PatienceNow() const {
  if (settings_.patience.count() == 0) return milliseconds::max();
  return open_calls_ < settings_.many_calls ? settings_.patience : std::min(settings_.patience, kPatienceWithMany);
}

void StalledConnections::Look(Clock::time_point now, milliseconds patience) {
  std::map<SocketId, Unmoved> unmoved;
  for (const int fd : FullSockets()) {
    struct stat found;
    if (dup3(fd, held_, O_CLOEXEC) < 0 || !IsOurs(held_) || !IsFull(held_) || fstat(held_, &found) != 0) continue;
    const int unsent = UnsentBytes(held_);
    const uint64_t mark = BytesAcknowledged(held_).value_or(static_cast<uint64_t>(unsent));
    const SocketId id(found.st_dev, found.st_ino);
    const auto before = unmoved_.find(id);
    const bool moved = before == unmoved_.end() || before->second.mark != mark;
    const Clock::time_point since = moved ? now : before->second.since;
    unmoved[id] = {mark, since};
    if (moved) ResizeUnixSocket(held_);
    if (now - since < patience) continue;
    if (shutdown(held_, SHUT_RDWR) == 0) {
      logger_.Info("connection given up: its peer takes nothing", {{"unsent_bytes", absl::StrCat(unsent)}});
    }
  }
  dup3(nothing_, held_, O_CLOEXEC);
  unmoved_ = std::move(unmoved);
}

// Descriptors that cannot be written to just now: few, so that what costs more is done for few. A number may have
// become another's by the time it is read.
std::vector<int> StalledConnections::FullSockets() {
  std::vector<pollfd> all;
  rewinddir(descriptors_.get());
  while (const dirent* entry = readdir(descriptors_.get())) {
    int fd;
    if (absl::SimpleAtoi(entry->d_name, &fd)) all.push_back({.fd = fd, .events = POLLOUT, .revents = 0});
  }
  poll(all.data(), all.size(), 0);
  std::vector<int> full;
  for (const pollfd& each : all) {
    if (each.revents == 0 && each.fd != held_) full.push_back(each.fd);
  }
  return full;
}

bool StalledConnections::IsOurs(int fd) const {
  int listens = 0;
  socklen_t size = sizeof(listens);
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens != 0) return false;
  sockaddr_storage name = {};
  size = sizeof(name);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return false;
  switch (name.ss_family) {
    case AF_INET:
      return settings_.address.path.empty() &&
             ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port) == settings_.address.port;
    case AF_INET6:
      return settings_.address.path.empty() &&
             ntohs(reinterpret_cast<const sockaddr_in6&>(name).sin6_port) == settings_.address.port;
    case AF_UNIX:
      return !settings_.address.path.empty() &&
             settings_.address.path == reinterpret_cast<const sockaddr_un&>(name).sun_path;
    default:
      return false;
  }
}

}  // namespace attend::app
