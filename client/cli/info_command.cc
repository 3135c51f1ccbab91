// attend info: what a server is and what it accepts.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/str_join.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/report.h"
#include "client/lib/tensor.h"

namespace attend::cli {
namespace {

std::vector<std::string> TypeNames(const v1::GetServerInfoResponse& info) {
  std::vector<std::string> names;
  for (const int dtype : info.dtypes()) names.push_back(client::DataTypeName(static_cast<v1::DataType>(dtype)));
  return names;
}

class InfoCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("info", "What a server is and what it accepts");
    app->footer("Examples:\n  attend info\n  attend info --local --json\n");
    return app;
  }

  int Run(Session& session) override {
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    absl::StatusOr<v1::GetServerInfoResponse> info = (*client)->GetServerInfo();
    if (!info.ok()) return session.CallFailure(info.status());
    session.console().Text(fmt::format(
        "version          {}\nCPU              {}\noneDNN           {}\ncompute threads  {}\n"
        "largest message  {}\nmemory budget    {}\ndtypes           {}\n",
        info->version(), info->cpu_isa(), info->onednn_version(), info->compute_threads(),
        BytesText(static_cast<double>(info->max_message_bytes())),
        BytesText(static_cast<double>(info->memory_budget_bytes())), absl::StrJoin(TypeNames(*info), ", ")));
    session.console().Json({{"ok", true},
                            {"version", info->version()},
                            {"cpu_isa", info->cpu_isa()},
                            {"onednn_version", info->onednn_version()},
                            {"compute_threads", info->compute_threads()},
                            {"max_message_bytes", info->max_message_bytes()},
                            {"memory_budget_bytes", info->memory_budget_bytes()},
                            {"dtypes", TypeNames(*info)}});
    return kOk;
  }
};

}  // namespace

std::unique_ptr<Command> MakeInfoCommand() { return std::make_unique<InfoCommand>(); }

}  // namespace attend::cli
