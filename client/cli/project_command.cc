// attend project linear | congruence | algebra | low-rank: one Project call from .npy files.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/project_kind.h"
#include "client/cli/report.h"

namespace attend::cli {
namespace {

// Many small matrices would scroll everything else away.
constexpr int kReportLines = 20;

class ProjectCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("project", "Linear projections, congruences, nearest generators, low rank");
    app->require_subcommand(0, 1);
    app->footer(
        "Examples:\n  attend project linear --help\n  attend project congruence --help\n"
        "  attend project algebra --help\n  attend project low-rank --help\n");
    for (const auto make : {MakeProjectLinear, MakeProjectCongruence, MakeProjectAlgebra, MakeProjectLowRank}) {
      kinds_.push_back(make());
      apps_.push_back(kinds_.back()->Declare(*app));
    }
    return app;
  }

  int Run(Session& session) override {
    const ProjectKind* kind = nullptr;
    for (size_t i = 0; i < kinds_.size(); ++i) {
      if (apps_[i]->parsed()) kind = kinds_[i].get();
    }
    if (kind == nullptr) {
      return session.UsageFailure(
          absl::InvalidArgumentError("a subcommand is required: project linear, congruence, algebra or low-rank"));
    }
    v1::ProjectRequest request;
    absl::Status status = kind->Fill(session.files(), request);
    for (const std::string& path : kind->OutputPaths()) {
      if (status.ok()) status = session.files().ClaimOutput(path);
    }
    if (!status.ok()) return session.UsageFailure(status);
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    const absl::Time start = absl::Now();
    absl::StatusOr<v1::ProjectResponse> response = (*client)->Project(request);
    if (!response.ok()) return session.CallFailure(response.status());
    return Deliver(session, *kind, *response, absl::ToDoubleSeconds(absl::Now() - start));
  }

 private:
  static int Deliver(Session& session, const ProjectKind& kind, const v1::ProjectResponse& response,
                     double round_trip_seconds) {
    const std::vector<std::string> paths = kind.OutputPaths();
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
    for (int i = 0; i < response.outputs_size(); ++i) {
      const std::string path = static_cast<size_t>(i) < paths.size() ? paths[i] : "";
      if (!path.empty()) {
        const absl::Status status = session.files().WriteTensor(path, response.outputs(i));
        if (!status.ok()) return session.UsageFailure(status);
      }
      session.console().Text(TensorLine(kind.OutputName(i), response.outputs(i), path));
      tensors.push_back(TensorJson(response.outputs(i), path));
    }
    session.console().Text(ReportLines(kind, response));
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    session.console().Json({{"ok", true},
                            {"tensors", tensors},
                            {"reports", ReportsJson(response)},
                            {"stats", StatsJson(response.stats(), round_trip_seconds)}});
    return kOk;
  }

  static std::string ReportLines(const ProjectKind& kind, const v1::ProjectResponse& response) {
    std::string lines;
    const int shown = std::min(response.reports_size(), kReportLines);
    for (int i = 0; i < shown; ++i) {
      const std::string number = response.reports_size() > 1 ? fmt::format("{} ", i) : "";
      lines += fmt::format("report    {}{}\n", number, kind.ReportText(response.reports(i)));
    }
    if (response.reports_size() > shown) {
      lines += fmt::format("  ... and {} more (--json prints all)\n", response.reports_size() - shown);
    }
    return lines;
  }

  static nlohmann::ordered_json ReportsJson(const v1::ProjectResponse& response) {
    nlohmann::ordered_json reports = nlohmann::ordered_json::array();
    for (const v1::ProjectReport& report : response.reports()) {
      reports.push_back({{"distance", report.distance()},
                         {"numerical_rank", report.numerical_rank()},
                         {"rank_is_least", report.rank_is_least()},
                         {"rank_by_qr", report.rank_by_qr()},
                         {"energy", report.energy()},
                         {"residual", report.residual()},
                         {"randomized", report.randomized()},
                         {"distance_over_best", report.distance_over_best()}});
    }
    return reports;
  }

  std::vector<std::unique_ptr<ProjectKind>> kinds_;
  std::vector<CLI::App*> apps_;  // of kinds_, in its order
};

}  // namespace

std::string ProjectKind::OutputName(int i) const { return fmt::format("output {}", i); }

std::unique_ptr<Command> MakeProjectCommand() { return std::make_unique<ProjectCommand>(); }

}  // namespace attend::cli
