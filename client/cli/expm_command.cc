// attend expm: one MatrixExp call from .npy files.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/lie_report.h"
#include "client/cli/report.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend expm --a a.npy --output e.npy\n"
    "  attend expm --a generator.npy --structure generator --times 0.1,1,2 --output e.npy --json\n"
    "  attend expm --a - --output - < a.npy > e.npy\n";

// Many small matrices would scroll everything else away.
constexpr int kReportLines = 20;

std::string ReportTable(const v1::MatrixExpResponse& response) {
  std::string table = fmt::format("{:>5} {:<14} {:>10} {:>6} {:>9} {:>8} {:>11}  {}\n", "#", "structure", "norm1",
                                  "degree", "squarings", "products", "error bound", "checks");
  const int lines = std::min(response.reports_size(), kReportLines);
  for (int i = 0; i < lines; ++i) {
    const v1::MatrixExpReport& report = response.reports(i);
    std::string checks;
    if (report.structure() == v1::STRUCTURE_GENERATOR) {
      checks = fmt::format("|row sum - 1| {:.1e}, least entry {:.1e}", report.row_sum_error(), report.min_entry());
    } else if (report.structure() == v1::STRUCTURE_SKEW_SYMMETRIC) {
      checks = fmt::format("|R'R - I| {:.1e}", report.orthogonality_error());
    }
    table +=
        std::string(absl::StripTrailingAsciiWhitespace(fmt::format(
            "{:>5} {:<14} {:>10.3e} {:>6} {:>9} {:>8} {:>11.1e}  {}", i, StructureName(report.structure()),
            report.norm1(), report.degree(), report.squarings(), report.products(), report.error_bound(), checks))) +
        "\n";
  }
  if (response.reports_size() > lines) {
    table += fmt::format("  ... and {} more (--json prints all)\n", response.reports_size() - lines);
  }
  return table;
}

nlohmann::ordered_json ReportsJson(const v1::MatrixExpResponse& response) {
  nlohmann::ordered_json reports = nlohmann::ordered_json::array();
  for (const v1::MatrixExpReport& report : response.reports()) {
    reports.push_back({{"structure", StructureName(report.structure())},
                       {"norm1", report.norm1()},
                       {"degree", report.degree()},
                       {"squarings", report.squarings()},
                       {"products", report.products()},
                       {"error_bound", report.error_bound()},
                       {"row_sum_error", report.row_sum_error()},
                       {"min_entry", report.min_entry()},
                       {"orthogonality_error", report.orthogonality_error()}});
  }
  return reports;
}

class ExpmCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("expm", "exp(tA), or exp(tA) B, from .npy files");
    inputs_.Declare(*app, "Input");
    app->get_option("--a")->required();
    app->add_option("--times", times_, "The t in exp(tA), as 0.1,1,2; default: 1, no dimension for it")
        ->type_name("LIST")
        ->delimiter(',')
        ->allow_extra_args(false)
        ->group("Input");
    AddChoice(*app, "--structure", structure_,
              {"auto", "general", "generator", "skew_symmetric", "symmetric", "triangular", "diagonal"},
              "What A is; a named one is checked")
        ->capture_default_str()
        ->group("Input");
    input_type_.Declare(*app, "Input");
    app->add_option("--output", output_, "[times, ..., n, n], or [times, ..., n, p] with --apply-to")
        ->type_name("FILE")
        ->group("Results");
    app->add_flag("--diagnostics", diagnostics_, "Is A a generator, and exp(tA) as a Markov chain")->group("Results");
    app->footer(kExamples);
    return app;
  }

  int Run(Session& session) override {
    v1::MatrixExpRequest request;
    absl::Status status = session.files().ClaimOutput(output_);
    if (status.ok()) status = inputs_.Fill(session.files(), input_type_.dtype(), request);
    if (!status.ok()) return session.UsageFailure(status);
    request.set_diagnostics(diagnostics_);
    request.mutable_times()->Add(times_.begin(), times_.end());
    if (structure_ != "auto") {
      v1::Structure structure = v1::STRUCTURE_UNSPECIFIED;
      v1::Structure_Parse("STRUCTURE_" + absl::AsciiStrToUpper(structure_), &structure);
      request.set_structure(structure);
    }
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    const absl::Time start = absl::Now();
    absl::StatusOr<v1::MatrixExpResponse> response = (*client)->MatrixExp(request);
    if (!response.ok()) return session.CallFailure(response.status());
    return Deliver(session, *response, absl::ToDoubleSeconds(absl::Now() - start));
  }

 private:
  int Deliver(Session& session, const v1::MatrixExpResponse& response, double round_trip_seconds) const {
    if (!output_.empty()) {
      const absl::Status status = session.files().WriteTensor(output_, response.result());
      if (!status.ok()) return session.UsageFailure(status);
    }
    session.console().Text(TensorLine("result", response.result(), output_) + ReportTable(response));
    if (diagnostics_) session.console().Text(DiagnosticsTable(response));
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    nlohmann::ordered_json document = {{"ok", true},
                                       {"tensors", {{"result", TensorJson(response.result(), output_)}}},
                                       {"reports", ReportsJson(response)}};
    if (diagnostics_) document["diagnostics"] = DiagnosticsJson(response);
    document["stats"] = StatsJson(response.stats(), round_trip_seconds);
    session.console().Json(document);
    return kOk;
  }

  TensorFlags<v1::MatrixExpRequest> inputs_{
      {"--a", "[..., n, n]", &v1::MatrixExpRequest::mutable_a},
      {"--apply-to", "B [..., n, p]: compute exp(tA) B instead", &v1::MatrixExpRequest::mutable_apply_to}};
  std::vector<double> times_;
  std::string structure_ = "auto";
  InputTypeFlag input_type_;
  bool diagnostics_ = false;
  std::string output_;
};

}  // namespace

std::unique_ptr<Command> MakeExpmCommand() { return std::make_unique<ExpmCommand>(); }

}  // namespace attend::cli
