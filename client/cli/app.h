// The command-line program without its process: arguments in, exit code out.
#ifndef ATTEND_CLIENT_CLI_APP_H_
#define ATTEND_CLIENT_CLI_APP_H_

#include <istream>

#include "client/cli/local_server.h"

namespace attend::cli {

// What the program is given by its surroundings.
struct Surroundings {
  std::istream& standard_input;
  int out_fd;
  int err_fd;
  StartServer start_server;
};

// Parses, runs one subcommand, returns its exit code (exit_code.h). Never throws.
int RunProgram(int argc, const char* const* argv, const Surroundings& surroundings);

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_APP_H_
