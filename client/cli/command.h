// One subcommand: its flags and what it does. Each lives in a file of its own.
#ifndef ATTEND_CLIENT_CLI_COMMAND_H_
#define ATTEND_CLIENT_CLI_COMMAND_H_

#include <memory>

#include "client/cli/session.h"

namespace CLI {
class App;
}  // namespace CLI

namespace attend::cli {

class Command {
 public:
  virtual ~Command() = default;

  // Adds a subcommand with its flags to the program. This must outlive `program`'s parsing. Returns the subcommand.
  virtual CLI::App* Declare(CLI::App& program) = 0;

  // Runs it with the flags that were parsed; returns the exit code.
  virtual int Run(Session& session) = 0;
};

std::unique_ptr<Command> MakeDemoCommand();
std::unique_ptr<Command> MakeAttentionCommand();
std::unique_ptr<Command> MakeExpmCommand();
std::unique_ptr<Command> MakeLogCommand();
std::unique_ptr<Command> MakeProjectCommand();
std::unique_ptr<Command> MakeLieViewCommand();
std::unique_ptr<Command> MakeInfoCommand();
std::unique_ptr<Command> MakeHealthCommand();

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_COMMAND_H_
