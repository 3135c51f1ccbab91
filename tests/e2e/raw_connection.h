// A caller that speaks just enough HTTP/2 to make calls with large answers, and reads only what it is told to. Its
// windows are so large that nothing but its socket holds the answers up. Not thread-safe.
#ifndef ATTEND_TESTS_E2E_RAW_CONNECTION_H_
#define ATTEND_TESTS_E2E_RAW_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace attend {

class RawConnection {
 public:
  explicit RawConnection(const std::string& address);  // "unix:PATH" or "127.0.0.1:PORT"
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool connected() const { return connected_; }
  // Makes a call of the service's `method`. `message` has fewer than 64 KiB, for that is the server's window.
  void Call(const std::string& method, const std::string& message);
  // Up to `bytes`; 0 once the server has closed the connection.
  size_t Read(size_t bytes);

 private:
  void Send(const std::string& bytes);

  int fd_ = -1;
  bool connected_ = false;
  uint32_t next_stream_ = 1;
};

}  // namespace attend

#endif  // ATTEND_TESTS_E2E_RAW_CONNECTION_H_
