// attend-server as a process of its own, so that its memory can be told from the callers'. Not thread-safe.
#ifndef ATTEND_TESTS_E2E_SERVER_PROCESS_H_
#define ATTEND_TESTS_E2E_SERVER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend {

class ServerProcess {
 public:
  // Starts `program` on free loopback ports with these flags and waits until it listens. Aborts where it does not.
  ServerProcess(const std::string& program, const std::vector<std::string>& flags);
  ~ServerProcess();  // SIGKILL
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }  // of gRPC, "127.0.0.1:PORT"
  int metrics_port() const { return metrics_port_; }

  uint64_t resident_bytes() const;       // now
  uint64_t peak_resident_bytes() const;  // since the start, or the last ForgetPeak
  void ForgetPeak();
  double cpu_seconds() const;  // of all its threads, in steps of 10 ms

 private:
  uint64_t StatusBytes(const std::string& key) const;

  pid_t pid_ = 0;
  std::string address_;
  int metrics_port_ = 0;
};

}  // namespace attend

#endif  // ATTEND_TESTS_E2E_SERVER_PROCESS_H_
