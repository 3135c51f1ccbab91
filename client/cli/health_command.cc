// attend health: may calls be sent there?
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/exit_code.h"

namespace attend::cli {
namespace {

const char* HealthName(client::Health health) {
  switch (health) {
    case client::Health::kServing:
      return "SERVING";
    case client::Health::kNotServing:
      return "NOT_SERVING";
    case client::Health::kUnknown:
      break;
  }
  return "UNKNOWN";
}

class HealthCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("health", "Whether a server is serving (exit code 0 or 1)");
    app->add_option("service", service_, "One service's name; without it, the server as a whole")->type_name("SERVICE");
    app->footer("Examples:\n  attend health\n  attend health attend.v1.AttentionService --target 10.0.0.7:50051\n");
    return app;
  }

  int Run(Session& session) override {
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    absl::StatusOr<client::Health> health = (*client)->CheckHealth(service_);
    // To the health protocol an unknown service is an answer, not a wrong request.
    if (health.status().code() == absl::StatusCode::kNotFound) return Answer(session, "SERVICE_UNKNOWN");
    if (!health.ok()) return session.CallFailure(health.status());
    return Answer(session, HealthName(*health));
  }

 private:
  int Answer(Session& session, const std::string& name) const {
    const int code = name == "SERVING" ? kOk : kNo;
    session.console().Text(name + "\n");
    session.console().Json({{"ok", code == kOk}, {"service", service_}, {"status", name}});
    return code;
  }

  std::string service_;
};

}  // namespace

std::unique_ptr<Command> MakeHealthCommand() { return std::make_unique<HealthCommand>(); }

}  // namespace attend::cli
