#include "tests/e2e/raw_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace attend {
namespace {

enum FrameType : uint8_t { kData = 0, kHeaders = 1, kSettings = 4, kWindowUpdate = 8 };
enum FrameFlag : uint8_t { kNoFlag = 0, kEndStream = 1, kEndHeaders = 4 };
constexpr size_t kMostFrameBytes = 16384;
constexpr uint32_t kWindow = 1 << 30;

std::string BigEndian(uint64_t value, int bytes) {
  std::string text;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text.push_back(static_cast<char>(value >> shift & 0xff));
  return text;
}

std::string Frame(FrameType type, uint8_t flags, uint32_t stream, const std::string& payload) {
  return BigEndian(payload.size(), 3) + BigEndian(type, 1) + BigEndian(flags, 1) + BigEndian(stream, 4) + payload;
}

// HPACK's literal that is not indexed. REQUIRES: both have fewer than 127 bytes.
std::string Header(const std::string& name, const std::string& value) {
  return BigEndian(0, 1) + BigEndian(name.size(), 1) + name + BigEndian(value.size(), 1) + value;
}

bool Connected(int fd, const sockaddr* to, socklen_t size) { return fd >= 0 && connect(fd, to, size) == 0; }

}  // namespace

RawConnection::RawConnection(const std::string& address) {
  const std::string scheme = "unix:";
  if (address.rfind(scheme, 0) == 0) {
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    address.copy(name.sun_path, sizeof(name.sun_path) - 1, scheme.size());
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = Connected(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  } else {
    sockaddr_in name = {};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = Connected(fd_, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  }
  constexpr uint16_t kInitialWindowSize = 4;
  Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
       Frame(kSettings, kNoFlag, 0, BigEndian(kInitialWindowSize, 2) + BigEndian(kWindow, 4)) +
       Frame(kWindowUpdate, kNoFlag, 0, BigEndian(kWindow, 4)));
}

RawConnection::~RawConnection() {
  if (fd_ >= 0) close(fd_);
}

void RawConnection::Call(const std::string& method, const std::string& message) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  const std::string headers = Header(":method", "POST") + Header(":scheme", "http") +
                              Header(":path", "/attend.v1.AttentionService/" + method) + Header(":authority", "test") +
                              Header("te", "trailers") + Header("content-type", "application/grpc") +
                              Header("attend-message-bytes", std::to_string(message.size()));
  std::string frames = Frame(kHeaders, kEndHeaders, stream, headers);
  const std::string body = BigEndian(0, 1) + BigEndian(message.size(), 4) + message;
  for (size_t at = 0; at < body.size(); at += kMostFrameBytes) {
    const bool last = at + kMostFrameBytes >= body.size();
    frames += Frame(kData, last ? kEndStream : kNoFlag, stream, body.substr(at, kMostFrameBytes));
  }
  Send(frames);
}

size_t RawConnection::Read(size_t bytes) {
  std::vector<char> read(bytes);
  return static_cast<size_t>(std::max<ssize_t>(0, recv(fd_, read.data(), read.size(), 0)));
}

void RawConnection::Send(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t now = send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return;  // the server has closed it; who reads finds out
    sent += static_cast<size_t>(now);
  }
}

}  // namespace attend
