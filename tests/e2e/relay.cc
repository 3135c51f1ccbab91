#include "tests/e2e/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

namespace attend {
namespace {

sockaddr_in LoopbackAddress(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Until one end is gone.
void Pump(int from, int to) {
  std::vector<char> bytes(1 << 16);
  for (ssize_t got; (got = recv(from, bytes.data(), bytes.size(), 0)) > 0;) {
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(to, bytes.data() + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
      if (more <= 0) return;
      sent += more;
    }
  }
}

}  // namespace

Relay::Relay(int server_port)
    : server_port_(server_port), listener_(socket(AF_INET, SOCK_STREAM, 0)), server_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address = LoopbackAddress(0);
  socklen_t length = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(listener_, 1) == 0 &&
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0) {
    port_ = ntohs(address.sin_port);
  }
  thread_ = std::thread([this] { Run(); });
}

Relay::~Relay() {
  Cut();
  close(listener_);
  close(client_);
  close(server_);
}

std::string Relay::address() const { return "127.0.0.1:" + std::to_string(port_); }

void Relay::Cut() {
  if (cut_) return;
  cut_ = true;
  for (const int end : {listener_, client_.load(), server_}) shutdown(end, SHUT_RDWR);
  thread_.join();
}

void Relay::Run() {
  client_ = accept(listener_, nullptr, nullptr);
  const sockaddr_in address = LoopbackAddress(server_port_);
  if (client_ < 0 || connect(server_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return;
  std::thread back([this] { Pump(server_, client_); });
  Pump(client_, server_);
  for (const int end : {client_.load(), server_}) shutdown(end, SHUT_RDWR);
  back.join();
}

}  // namespace attend
