#include "tests/bench/server_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace attend::bench {
namespace {

constexpr char kListening[] = "listening on ";

[[noreturn]] void Execute(const std::vector<std::string>& command, int output) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  dup2(output, STDOUT_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  execv(arguments[0], arguments.data());
  _exit(127);
}

std::string ReadLine(int from) {
  std::string line;
  for (char c; read(from, &c, 1) == 1 && c != '\n';) line.push_back(c);
  return line;
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& command) {
  int ends[2];
  if (pipe(ends) != 0 || (pid_ = fork()) < 0) {
    std::perror("attend-bench: cannot start a server");
    std::exit(1);
  }
  if (pid_ == 0) Execute(command, ends[1]);
  close(ends[1]);
  output_ = ends[0];
  const std::string line = ReadLine(output_);
  const size_t at = line.find(kListening);
  if (at == std::string::npos) {
    std::fprintf(stderr, "attend-bench: %s does not listen: \"%s\"\n", command[0].c_str(), line.c_str());
    std::exit(1);
  }
  const size_t begin = at + sizeof(kListening) - 1;
  address_ = line.substr(begin, line.find_first_of(", ", begin) - begin);
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  close(output_);
}

std::string ProgramBeside(const std::string& name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

}  // namespace attend::bench
