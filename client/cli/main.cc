// attend: the command-line program.
#include <csignal>
#include <iostream>

#include <fcntl.h>
#include <unistd.h>

#include "client/cli/app.h"
#include "client/cli/local_server.h"
#include "server/app/process_tuning.h"
#include "server/app/server.h"

namespace {

// A process may be started with stdin, stdout or stderr closed. Then the first socket would get their numbers, and text
// would go into it. Opened the wrong way round, so that using them still fails.
void OccupyStandardDescriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const attend::app::Options machine = attend::app::ForThisMachine({});
  attend::app::TuneProcess(machine.memory_budget_bytes, machine.compute_threads);
  OccupyStandardDescriptors();
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error code of write()
  std::ios::sync_with_stdio(false);
  return attend::cli::RunProgram(argc, argv, {std::cin, STDOUT_FILENO, STDERR_FILENO, attend::cli::StartLocalServer});
}
