#include "tests/process/server_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/process/proc_status.h"

namespace attend {
namespace {

constexpr char kListening[] = "listening on ";

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "ServerProcess: %s\n", why.c_str());
  std::abort();
}

// In the child: nothing that allocates, since other threads of the parent may have held locks.
[[noreturn]] void Execute(char* const* arguments, int output) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  execv(arguments[0], arguments);
  _exit(127);
}

std::string ReadLine(int from) {
  std::string line;
  for (char c; read(from, &c, 1) == 1 && c != '\n';) line.push_back(c);
  return line;
}

std::vector<std::string> OnFreePorts(const std::string& program, const std::vector<std::string>& flags) {
  std::vector<std::string> command = {program,       "--listen",    "127.0.0.1:0", "--metrics_listen",
                                      "127.0.0.1:0", "--log_level", "off"};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

}  // namespace

ServerProcess::ServerProcess(const std::string& program, const std::vector<std::string>& flags)
    : ServerProcess(OnFreePorts(program, flags)) {}

ServerProcess::ServerProcess(std::vector<std::string> command) {
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0 || (pid_ = fork()) < 0) Die("cannot start " + command[0]);
  if (pid_ == 0) Execute(arguments.data(), ends[1]);
  close(ends[1]);
  output_ = ends[0];
  const std::string line = ReadLine(output_);
  const size_t at = line.find(kListening);
  if (at == std::string::npos) Die(command[0] + " does not listen: \"" + line + "\"");
  const size_t begin = at + sizeof(kListening) - 1;
  address_ = line.substr(begin, line.find_first_of(", ", begin) - begin);
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  close(output_);
}

uint64_t ServerProcess::resident_bytes() const { return StatusBytes(std::to_string(pid_), "VmRSS"); }
uint64_t ServerProcess::peak_resident_bytes() const { return StatusBytes(std::to_string(pid_), "VmHWM"); }
void ServerProcess::ForgetPeak() { ForgetPeakResident(std::to_string(pid_)); }

double ServerProcess::cpu_seconds() const {
  std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
  std::string field;
  std::getline(stat, field, ')');              // the name may hold anything but this
  for (int i = 3; i < 14; ++i) stat >> field;  // state .. cmajflt
  double user_ticks = 0, system_ticks = 0;
  stat >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::string ProgramBeside(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

}  // namespace attend
