// Passes the bytes of one connection on to a server, until it is cut: a client that vanishes without a word.
#ifndef ATTEND_TESTS_E2E_RELAY_H_
#define ATTEND_TESTS_E2E_RELAY_H_

#include <atomic>
#include <string>
#include <thread>

namespace attend {

class Relay {
 public:
  explicit Relay(int server_port);
  ~Relay();  // cuts
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::string address() const;
  // Closes both ends; the server sees its peer gone. From any thread, once.
  void Cut();

 private:
  void Run();

  const int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> client_{-1};
  int server_ = -1;
  bool cut_ = false;
  std::thread thread_;
};

}  // namespace attend

#endif  // ATTEND_TESTS_E2E_RELAY_H_
