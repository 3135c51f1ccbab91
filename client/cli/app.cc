#include "client/cli/app.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <sstream>
#include <vector>

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/help_formatter.h"
#include "client/cli/session.h"

namespace attend::cli {
namespace {

constexpr char kFooter[] =
    "Examples:\n"
    "  attend demo\n"
    "  attend attention --query q.npy --key k.npy --value v.npy --output out.npy --local\n"
    "  attend expm --a a.npy --times 0.1,1,2 --output e.npy\n"
    "  attend health --target server.example:50051\n"
    "\n"
    "Each subcommand has its own --help. Arrays are .npy files; - is stdin or stdout.\n"
    "\n";

// Both what was declared and what it parses into.
struct Program {
  CLI::App app{"Attention, matrix exponentials and projections, computed by an attend server."};
  CommonFlags flags;
  std::vector<std::pair<CLI::App*, std::unique_ptr<Command>>> commands;
  std::vector<CLI::Option*> targets;
};

// CLI::Range lets NaN through.
std::string CheckTimeout(std::string& text) {
  double seconds = 0;
  const bool good = CLI::detail::lexical_cast(text, seconds) && seconds >= 0.001 && seconds <= 86400;
  return good ? "" : absl::StrCat(text, " is not a number of seconds in [0.001, 86400]");
}

// gRPC takes almost anything for a name to resolve; what cannot be one is a mistake here.
std::string CheckTarget(std::string& text) {
  const bool good = !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isgraph);
  return good ? "" : absl::StrCat("'", text, "' is not HOST:PORT");
}

void DeclareCommonFlags(CLI::App& command, Program& program) {
  CommonFlags& flags = program.flags;
  const std::string connection = "Connection";
  program.targets.push_back(command.add_option("--target", flags.target, "Server, or unix:PATH")
                                ->type_name("HOST:PORT")
                                ->check(CLI::Validator(CheckTarget, ""))
                                ->envname("ATTEND_TARGET")
                                ->capture_default_str()
                                ->group(connection));
  command.add_flag("--local", flags.local, "Host the server in this process instead")->group(connection);
  command.add_option("--timeout", flags.timeout_seconds, "Deadline of each call")
      ->type_name("SECONDS")
      ->check(CLI::Validator(CheckTimeout, ""))
      ->capture_default_str()
      ->group(connection);
  command.add_option("--max-message-mib", flags.max_message_mib, "Largest request or answer")
      ->type_name("MIB")
      ->check(CLI::Range(1, 2047).description(""))
      ->capture_default_str()
      ->group(connection);
  command.add_flag("--json", flags.json, "One JSON document on stdout instead of text")->group("Printing");
  command.add_flag("--quiet", flags.quiet, "Leave out where the time went")->group("Printing");
}

// A variable of the shell that is not set makes --times "$T" an empty value, which CLI11 takes for 0, or for nothing.
// Here and not at each flag, so that none is forgotten; `health ""` names the server as a whole.
void RefuseEmptyValues(CLI::App& command) {
  for (CLI::Option* flag : command.get_options([](const CLI::Option* option) { return option->nonpositional(); })) {
    if (flag->get_items_expected_max() == 0) continue;
    const auto check = [expected = flag->get_type_name()](std::string& text) -> std::string {
      return text.empty() ? absl::StrCat("got an empty value, expected ", expected) : "";
    };
    flag->transform(CLI::Validator(check, ""));  // unlike check(), before the flag's other checks
  }
}

void DeclareProgram(Program& program) {
  program.app.name("attend");
  program.app.set_version_flag("--version", ATTEND_VERSION, "Print the version and exit");
  // Not 1: CLI11 would report a misspelled subcommand as a missing one.
  program.app.require_subcommand(0, 1);
  program.app.formatter(std::make_shared<HelpFormatter>());
  program.app.footer(absl::StrCat(kFooter, kExitCodesHelp));
  for (const auto make : {MakeDemoCommand, MakeAttentionCommand, MakeExpmCommand, MakeLogCommand, MakeProjectCommand,
                          MakeLieViewCommand, MakeInfoCommand, MakeHealthCommand}) {
    std::unique_ptr<Command> command = make();
    CLI::App* app = command->Declare(program.app);
    // `project` has subcommands of its own; they carry the flags.
    const std::vector<CLI::App*> inner = app->get_subcommands([](CLI::App*) { return true; });
    for (CLI::App* leaf : inner.empty() ? std::vector<CLI::App*>{app} : inner) {
      DeclareCommonFlags(*leaf, program);
      RefuseEmptyValues(*leaf);
      leaf->footer(absl::StrCat(leaf->get_footer(), "\n", kExitCodesHelp));
    }
    program.commands.emplace_back(app, std::move(command));
  }
}

int ReportParseEnd(const Program& program, const CLI::ParseError& error, Console& console) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = program.app.exit(error, out, err);
  if (code == 0) {
    console.Text(out.str());
    return kOk;
  }
  std::string path = "attend";
  for (const CLI::App* app = &program.app; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    absl::StrAppend(&path, " ", app->get_name());
  }
  console.Error(absl::StrCat("attend: ", error.what(), "\nRun '", path, " --help' for what it takes.\n"));
  return kUsage;
}

int ParseAndRun(int argc, const char* const* argv, const Surroundings& surroundings, Console& console) {
  Program program;
  DeclareProgram(program);
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ReportParseEnd(program, error, console);
  }
  for (const CLI::Option* target : program.targets) program.flags.target_given |= target->count() > 0;
  console.set_json(program.flags.json);
  console.set_quiet(program.flags.quiet);
  Session session(program.flags, surroundings.start_server, surroundings.standard_input, console);
  for (const auto& [app, command] : program.commands) {
    if (app->parsed()) return command->Run(session);
  }
  console.Error(absl::StrCat("attend: a subcommand is required\n\n", program.app.help()));
  return kUsage;
}

}  // namespace

int RunProgram(int argc, const char* const* argv, const Surroundings& surroundings) {
  Console console(surroundings.out_fd, surroundings.err_fd);
  int code = kOther;
  try {
    code = ParseAndRun(argc, argv, surroundings, console);
  } catch (const std::exception& error) {
    // Out of memory, most likely; nothing of ours throws on purpose.
    console.Error(absl::StrCat("attend: ", error.what(), "\n"));
    return kOther;
  }
  if (console.status().ok()) return code;
  console.Error(absl::StrCat("attend: ", console.status().message(), "\n"));
  return code == kOk ? kUsage : code;
}

}  // namespace attend::cli
