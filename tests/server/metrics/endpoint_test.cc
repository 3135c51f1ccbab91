#include "server/metrics/endpoint.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attend::metrics {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// One TCP connection to a local port.
class Client {
 public:
  explicit Client(int port, int family = AF_INET) : fd_(socket(family, SOCK_STREAM, 0)) {
    sockaddr_in v4 = {};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sockaddr_in6 v6 = {};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = v4.sin_port;
    v6.sin6_addr = in6addr_loopback;
    connected_ = family == AF_INET ? connect(fd_, reinterpret_cast<sockaddr*>(&v4), sizeof(v4)) == 0
                                   : connect(fd_, reinterpret_cast<sockaddr*>(&v6), sizeof(v6)) == 0;
    const timeval limit = {.tv_sec = 20, .tv_usec = 0};  // a server that never answers fails the test
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  Client(const Client&) = delete;
  ~Client() { close(fd_); }

  bool connected() const { return connected_; }

  void Send(const std::string& text) {
    ASSERT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  // Up to the end of the headers and Content-Length bytes more (none where `body` is off: HEAD).
  struct Response {
    std::string headers, body;
  };
  Response ReadHead() {
    Response response;
    while (!absl::EndsWith(response.headers, "\r\n\r\n")) {
      char byte;
      if (recv(fd_, &byte, 1, 0) != 1) break;
      response.headers.push_back(byte);
    }
    return response;
  }
  Response Read() {
    Response response = ReadHead();
    size_t length = 0;
    const size_t at = response.headers.find("Content-Length: ");
    if (at == std::string::npos) return response;
    const size_t start = at + sizeof("Content-Length: ") - 1;
    EXPECT_TRUE(absl::SimpleAtoi(response.headers.substr(start, response.headers.find('\r', start) - start), &length));
    response.body.resize(length);
    const ssize_t got = recv(fd_, response.body.data(), length, MSG_WAITALL);
    EXPECT_EQ(got, static_cast<ssize_t>(length));
    return response;
  }
  Response Ask(const std::string& method, const std::string& path) {
    Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    return method == "HEAD" ? ReadHead() : Read();
  }
  bool ServerClosed() {
    char byte;
    const ssize_t got = recv(fd_, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

 private:
  const int fd_;
  bool connected_ = false;
};

class Endpoint : public ::testing::Test {
 protected:
  static std::unique_ptr<MetricsEndpoint> MustStart(const std::string& address, MetricsEndpoint::Sources sources) {
    absl::StatusOr<std::unique_ptr<MetricsEndpoint>> started = MetricsEndpoint::Start(address, std::move(sources));
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }
  MetricsEndpoint::Sources Sources() {
    return {.metrics = [this] { return metrics_; }, .ready = [this] { return ready_.load(); }};
  }

  std::string metrics_ = "attend_inflight_calls 0\n";
  std::atomic<bool> ready_{true};
  std::unique_ptr<MetricsEndpoint> endpoint_ = MustStart("127.0.0.1:0", Sources());
};

TEST_F(Endpoint, MetricsComeAsPrometheusText) {
  const Client::Response response = Client(endpoint_->port()).Ask("GET", "/metrics");
  EXPECT_THAT(response.headers, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_EQ(response.body, metrics_);
}

TEST_F(Endpoint, LargeScrapesArriveWhole) {
  metrics_.assign(3 << 20, 'x');
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/metrics").body, metrics_);
}

TEST_F(Endpoint, WhoLeavesInTheMiddleOfARequestTakesNoPlace) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 600; ++i) Client(endpoint_->port()).Send("GET /metrics HTTP/1.1\r\n");
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/healthz").body, "ok");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST_F(Endpoint, WhoDoesNotCompleteARequestIsGivenUp) {
  Client slow(endpoint_->port()), idle(endpoint_->port());
  slow.Send("GET /metrics HTTP/1.1\r\n");
  EXPECT_EQ(idle.Ask("GET", "/healthz").body, "ok");
  EXPECT_TRUE(slow.ServerClosed());
  EXPECT_EQ(idle.Ask("GET", "/healthz").body, "ok") << "a scraper keeps its connection";
}

TEST_F(Endpoint, HealthIsOk) {
  const Client::Response response = Client(endpoint_->port()).Ask("GET", "/healthz");
  EXPECT_THAT(response.headers, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(response.body, "ok");
}

TEST_F(Endpoint, ReadinessFollowsItsSource) {
  Client client(endpoint_->port());
  const Client::Response ready = client.Ask("GET", "/readyz");
  EXPECT_THAT(ready.headers, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(ready.body, "ready");
  ready_ = false;
  const Client::Response draining = client.Ask("GET", "/readyz");  // the same connection: it is kept alive
  EXPECT_THAT(draining.headers, StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(draining.body, "not ready");
}

TEST_F(Endpoint, QueriesInThePathDoNotMatter) {
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/healthz?verbose=1").body, "ok");
}

TEST_F(Endpoint, OtherPathsAreNotFound) {
  for (const char* path : {"/", "/metrics/", "/metricsx", "//metrics", "/../metrics", "/etc/passwd"}) {
    EXPECT_THAT(Client(endpoint_->port()).Ask("GET", path).headers, StartsWith("HTTP/1.1 404 Not Found\r\n")) << path;
  }
}

TEST_F(Endpoint, HeadSendsTheHeadersAlone) {
  Client client(endpoint_->port());
  const Client::Response response = client.Ask("HEAD", "/metrics");
  EXPECT_THAT(response.headers, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(response.headers, HasSubstr(absl::StrCat("Content-Length: ", metrics_.size(), "\r\n")));
  // Had a body followed, the next response would begin with it.
  EXPECT_THAT(client.Ask("GET", "/healthz").headers, StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(Endpoint, OtherMethodsAreRefused) {
  Client client(endpoint_->port());
  client.Send("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
  const Client::Response response = client.Read();
  EXPECT_THAT(response.headers, StartsWith("HTTP/1.1 405 Method Not Allowed\r\n"));
  EXPECT_THAT(response.headers, HasSubstr("Allow: GET, HEAD\r\n"));
}

TEST_F(Endpoint, GarbageClosesTheConnectionAndNothingElse) {
  Client garbage(endpoint_->port());
  garbage.Send("\x16\x03\x01 no HTTP at all\r\n\r\n");
  EXPECT_THAT(garbage.Read().headers, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(garbage.ServerClosed());
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/healthz").body, "ok");
}

TEST_F(Endpoint, EndlessHeadersAreCutOff) {
  Client client(endpoint_->port());
  client.Send("GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'x'));
  EXPECT_THAT(client.Read().headers, StartsWith("HTTP/1.1 4"));
}

TEST_F(Endpoint, ASourceThatThrowsClosesTheConnection) {
  endpoint_ = MustStart("127.0.0.1:0", {.metrics = []() -> std::string { throw std::runtime_error("no"); },
                                        .ready = [] { return true; }});
  Client client(endpoint_->port());
  EXPECT_EQ(client.Ask("GET", "/metrics").headers, "");
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/healthz").body, "ok");
}

TEST_F(Endpoint, ManyScrapersAtOnce) {
  std::vector<std::thread> scrapers;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    scrapers.emplace_back([&] {
      Client client(endpoint_->port());
      for (int n = 0; n < 20; ++n) good += client.Ask("GET", "/metrics").body == metrics_ ? 1 : 0;
    });
  }
  for (std::thread& scraper : scrapers) scraper.join();
  EXPECT_EQ(good, 16 * 20);
}

TEST_F(Endpoint, ATakenPortIsUnavailable) {
  const std::string address = absl::StrCat("127.0.0.1:", endpoint_->port());
  const absl::Status second = MetricsEndpoint::Start(address, Sources()).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr(address));
  EXPECT_THAT(std::string(second.message()), HasSubstr("in use"));
}

TEST_F(Endpoint, ThePortIsFreeAfterwards) {
  const std::string address = absl::StrCat("127.0.0.1:", endpoint_->port());
  Client client(endpoint_->port());
  client.Ask("GET", "/healthz");
  endpoint_.reset();  // with a connection open: the server closes first and keeps the TIME_WAIT
  endpoint_ = MustStart(address, Sources());
  ASSERT_NE(endpoint_, nullptr);
  EXPECT_EQ(Client(endpoint_->port()).Ask("GET", "/healthz").body, "ok");
}

TEST_F(Endpoint, ListensOnIpv6) {
  // Where the machine has no IPv6 at all, the refusal must say so cleanly.
  const absl::StatusOr<std::unique_ptr<MetricsEndpoint>> started = MetricsEndpoint::Start("[::1]:0", Sources());
  if (!started.ok()) {
    EXPECT_EQ(started.status().code(), absl::StatusCode::kUnavailable) << started.status();
    return;
  }
  Client client((*started)->port(), AF_INET6);
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(client.Ask("GET", "/healthz").body, "ok");
}

TEST_F(Endpoint, ListensOnNames) {
  const std::unique_ptr<MetricsEndpoint> named = MustStart("localhost:0", Sources());
  ASSERT_NE(named, nullptr);
  EXPECT_GT(named->port(), 0);
}

TEST_F(Endpoint, BadAddressesAreInvalid) {
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:http", "::1:0", "unix:/tmp/socket"}) {
    EXPECT_EQ(MetricsEndpoint::Start(address, Sources()).status().code(), absl::StatusCode::kInvalidArgument)
        << address;
  }
  EXPECT_EQ(MetricsEndpoint::Start("no-such-host.invalid:0", Sources()).status().code(),
            absl::StatusCode::kUnavailable);
}

// An idle kept-alive connection, one with half a request and one that does not read its answer hold nothing up.
TEST_F(Endpoint, StopsAtOnceWithConnectionsOpen) {
  metrics_.assign(32 << 20, 'x');
  Client idle(endpoint_->port()), half(endpoint_->port()), stuck(endpoint_->port());
  EXPECT_EQ(idle.Ask("GET", "/healthz").body, "ok");
  half.Send("GET /metr");
  stuck.Send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  stuck.ReadHead();
  EXPECT_EQ(idle.Ask("GET", "/healthz").body, "ok");  // the server has seen all three by now

  const auto start = std::chrono::steady_clock::now();
  endpoint_.reset();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  EXPECT_LT(took.count(), 100);
  EXPECT_TRUE(idle.ServerClosed());
  EXPECT_TRUE(half.ServerClosed());
}

}  // namespace
}  // namespace attend::metrics
