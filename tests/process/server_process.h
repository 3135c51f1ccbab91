// A server in a process of its own, so that its memory and its time can be told from the callers'. Not thread-safe.
#ifndef ATTEND_TESTS_PROCESS_SERVER_PROCESS_H_
#define ATTEND_TESTS_PROCESS_SERVER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace attend {

class ServerProcess {
 public:
  // Starts `command` (a program's path and its arguments) and waits for its line "... listening on ADDRESS[,] ...".
  // Aborts where that does not come.
  explicit ServerProcess(std::vector<std::string> command);
  // attend-server `program` on free loopback ports with these flags.
  ServerProcess(const std::string& program, const std::vector<std::string>& flags);
  ~ServerProcess();  // SIGTERM, then waits; calls still in flight are not waited for longer than the server does
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }  // a gRPC target

  uint64_t resident_bytes() const;       // now
  uint64_t peak_resident_bytes() const;  // since the start, or the last ForgetPeak
  void ForgetPeak();
  double cpu_seconds() const;  // of all its threads, in steps of 10 ms

 private:
  pid_t pid_ = 0;
  int output_ = -1;  // the read end of its standard output
  std::string address_;
};

// The path of a program that was built beside this one: "attend-server".
std::string ProgramBeside(const std::string& name);

}  // namespace attend

#endif  // ATTEND_TESTS_PROCESS_SERVER_PROCESS_H_
