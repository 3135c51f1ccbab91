// A server in a process of its own, for benchmarks that call over a real connection. Not thread-safe.
#ifndef ATTEND_TESTS_BENCH_SERVER_PROCESS_H_
#define ATTEND_TESTS_BENCH_SERVER_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace attend::bench {

class ServerProcess {
 public:
  // Starts `command` (a program's path and its arguments) and waits for its line "... listening on ADDRESS[,] ...".
  // Ends this process with a message where that does not come.
  explicit ServerProcess(const std::vector<std::string>& command);
  ~ServerProcess();  // SIGTERM, then waits
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }  // a gRPC target
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  int output_ = -1;  // the read end of its standard output
  std::string address_;
};

// The path of a program that was built beside this one: "attend-server".
std::string ProgramBeside(const std::string& name);

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_SERVER_PROCESS_H_
