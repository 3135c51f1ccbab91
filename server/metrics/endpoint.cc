#include "server/metrics/endpoint.h"

#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/metrics/host_port.h"

namespace attend::metrics {
namespace {

constexpr unsigned kMaxConnections = 512;
constexpr unsigned kRequestSeconds = 5;  // without a word, for who has not completed a request
constexpr unsigned kIdleSeconds = 60;  // longer than the usual scrape interval, so that scrapers keep their connection
constexpr int kBacklog = 512;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

absl::Status CannotListen(const std::string& address, absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ", why));
}

// SO_REUSEADDR gets past connections that linger after a restart; without SO_REUSEPORT a port in use stays refused.
absl::StatusOr<Socket> ListenOn(const addrinfo& where, const std::string& address) {
  Socket socket(::socket(where.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int yes = 1;
  if (socket.fd() < 0 || setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
      bind(socket.fd(), where.ai_addr, where.ai_addrlen) != 0 || listen(socket.fd(), kBacklog) != 0) {
    return CannotListen(address, std::strerror(errno));
  }
  return socket;
}

absl::StatusOr<Socket> Listen(const std::string& address) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) return parsed.status();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(parsed->host.c_str(), std::to_string(parsed->port).c_str(), &hints, &found)) {
    return CannotListen(address, gai_strerror(error));
  }
  absl::StatusOr<Socket> socket = CannotListen(address, "no address of the host works");
  for (const addrinfo* where = found; where != nullptr && !socket.ok(); where = where->ai_next) {
    socket = ListenOn(*where, address);
  }
  freeaddrinfo(found);
  return socket;
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

bool IsRead(absl::string_view method) { return method == "GET" || method == "HEAD"; }

struct Answer {
  unsigned status = MHD_HTTP_OK;
  std::string body;
  const char* content_type = "text/plain; charset=utf-8";
};

Answer AnswerTo(absl::string_view method, absl::string_view path, const MetricsEndpoint::Sources& sources) {
  if (path != "/metrics" && path != "/healthz" && path != "/readyz") {
    return {.status = MHD_HTTP_NOT_FOUND, .body = "not found; there are /metrics, /healthz and /readyz"};
  }
  if (!IsRead(method)) {
    return {.status = MHD_HTTP_METHOD_NOT_ALLOWED, .body = "only GET and HEAD"};
  }
  if (path == "/metrics") {
    return {.body = sources.metrics(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
  }
  if (path == "/healthz") return {.body = "ok"};
  if (sources.ready()) return {.body = "ready"};
  return {.status = MHD_HTTP_SERVICE_UNAVAILABLE, .body = "not ready"};
}

// For a HEAD request the library sends the headers alone, Content-Length included.
MHD_Result Send(MHD_Connection* connection, const Answer& answer) {
  // The library takes void* but does not write to what it copies.
  MHD_Response* response =
      MHD_create_response_from_buffer(answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer.content_type);
  if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  const MHD_Result sent = MHD_queue_response(connection, answer.status, response);
  MHD_destroy_response(response);
  return sent;
}

// The library calls this once per request when the headers are there and once more at its end; it keeps the
// connection only where the answer comes at the end. Requests with a body are answered, and cut off, at once.
// Nothing may throw through the library's C frames.
MHD_Result Handle(void* sources, MHD_Connection* connection, const char* url, const char* method,
                  const char* /*version*/, const char* /*upload*/, size_t* upload_size, void** state) noexcept {
  const bool first = std::exchange(*state, sources) == nullptr;
  if (first && IsRead(method)) return MHD_YES;
  *upload_size = 0;  // a body is of no interest
  MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, kIdleSeconds);
  try {
    return Send(connection, AnswerTo(method, url, *static_cast<const MetricsEndpoint::Sources*>(sources)));
  } catch (...) {
    return MHD_NO;  // closes the connection
  }
}

class HttpEndpoint final : public MetricsEndpoint {
 public:
  explicit HttpEndpoint(Sources sources) : sources_(std::move(sources)) {}

  ~HttpEndpoint() override {
    if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
  }

  absl::Status Serve(Socket socket, const std::string& address) {
    port_ = PortOf(socket.fd());
    // Not epoll: with it the library overlooks the end of a connection that comes together with its last bytes.
    daemon_ = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, nullptr, nullptr, &Handle, &sources_,
                               MHD_OPTION_LISTEN_SOCKET, socket.fd(), MHD_OPTION_CONNECTION_LIMIT, kMaxConnections,
                               MHD_OPTION_CONNECTION_TIMEOUT, kRequestSeconds, MHD_OPTION_END);
    if (daemon_ == nullptr) return CannotListen(address, "the HTTP server did not start");
    socket.Release();  // the daemon closes it
    return absl::OkStatus();
  }

  int port() const override { return port_; }

 private:
  Sources sources_;
  int port_ = 0;
  MHD_Daemon* daemon_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsEndpoint>> MetricsEndpoint::Start(const std::string& address, Sources sources) {
  absl::StatusOr<Socket> socket = Listen(address);
  if (!socket.ok()) return socket.status();
  auto endpoint = std::make_unique<HttpEndpoint>(std::move(sources));
  if (const absl::Status serving = endpoint->Serve(*std::move(socket), address); !serving.ok()) return serving;
  return endpoint;
}

}  // namespace attend::metrics
