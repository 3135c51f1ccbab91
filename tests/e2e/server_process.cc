#include "tests/e2e/server_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

namespace attend {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "ServerProcess: %s\n", why.c_str());
  std::abort();
}

// The first line that the program prints; `output` is left open, for what it says when it stops.
std::string FirstLine(int output) {
  std::string line;
  for (char c; read(output, &c, 1) == 1 && c != '\n';) line.push_back(c);
  return line;
}

}  // namespace

ServerProcess::ServerProcess(const std::string& program, const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = {program,       "--listen",    "127.0.0.1:0", "--metrics_listen",
                                        "127.0.0.1:0", "--log_level", "off"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) Die("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(), environ) != 0) Die("cannot start " + program);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);

  const std::string banner = FirstLine(pipe_ends[0]);
  close(pipe_ends[0]);
  std::smatch match;
  if (!std::regex_search(banner, match,
                         std::regex("listening on (127\\.0\\.0\\.1:\\d+), metrics on http://.*:(\\d+)/"))) {
    Die("it says: " + banner);
  }
  address_ = match[1];
  metrics_port_ = std::stoi(match[2]);
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

uint64_t ServerProcess::resident_bytes() const { return StatusBytes("VmRSS:"); }
uint64_t ServerProcess::peak_resident_bytes() const { return StatusBytes("VmHWM:"); }

void ServerProcess::ForgetPeak() { std::ofstream("/proc/" + std::to_string(pid_) + "/clear_refs") << "5"; }

double ServerProcess::cpu_seconds() const {
  std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
  std::string field;
  std::getline(stat, field, ')');              // the name may hold anything but this
  for (int i = 3; i < 14; ++i) stat >> field;  // state .. cmajflt
  double user_ticks = 0, system_ticks = 0;
  stat >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

uint64_t ServerProcess::StatusBytes(const std::string& key) const {
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  std::string word;
  while (status >> word) {
    if (word != key) continue;
    uint64_t kib = 0;
    status >> kib;
    return kib << 10;
  }
  Die("the system does not tell " + key);
}

}  // namespace attend
