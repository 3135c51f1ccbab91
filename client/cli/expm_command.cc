// attend expm: one MatrixExp call from .npy files.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/lie_report.h"
#include "client/cli/number_list.h"
#include "client/cli/report.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend expm --a a.npy --output e.npy\n"
    "  attend expm --a generator.npy --structure generator --times 0.1,1,2 --output e.npy --json\n"
    "  attend expm --a a.npy --apply-to b.npy --grad-output g.npy --grad-a da.npy --grad-apply-to db.npy\n"
    "  attend expm --a - --output - < a.npy > e.npy\n";

// Many small matrices would scroll everything else away.
constexpr int kReportLines = 20;

// What was measured of the result, or how exp(tA) B came without exp(tA).
std::string Checks(const v1::MatrixExpReport& report, bool acts) {
  if (report.action_products() > 0) return fmt::format("{} products of A with B", report.action_products());
  if (acts) return "";
  if (report.structure() == v1::STRUCTURE_GENERATOR) {
    return fmt::format("|row sum - 1| {:.1e}, least entry {:.1e}", report.row_sum_error(), report.min_entry());
  }
  if (report.structure() == v1::STRUCTURE_SKEW_SYMMETRIC) {
    return fmt::format("|R'R - I| {:.1e}", report.orthogonality_error());
  }
  return "";
}

std::string ReportTable(const v1::MatrixExpResponse& response, bool acts) {
  std::string table = fmt::format("{:>5} {:<14} {:>10} {:>6} {:>9} {:>8} {:>11}  {}\n", "#", "structure", "norm1",
                                  "degree", "squarings", "products", "error bound", "checks");
  const int lines = std::min(response.reports_size(), kReportLines);
  for (int i = 0; i < lines; ++i) {
    const v1::MatrixExpReport& report = response.reports(i);
    const std::string checks = Checks(report, acts);
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
                       {"orthogonality_error", report.orthogonality_error()},
                       {"action_products", report.action_products()}});
  }
  return reports;
}

class ExpmCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("expm", "exp(tA), or exp(tA) B, from .npy files");
    inputs_.Declare(*app, "Input");
    app->get_option("--a")->required();
    AddNumbers(*app, "--times", times_, "The t in exp(tA), as 0.1,1,2; default: 1, no dimension for it")
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
    app->add_option("--grad-a", grad_a_, "The gradient by A [..., n, n]; needs --grad-output")
        ->type_name("FILE")
        ->needs("--grad-output")
        ->group("Results");
    app->add_option("--grad-apply-to", grad_apply_to_, "The gradient by B; needs --apply-to and --grad-output")
        ->type_name("FILE")
        ->needs("--grad-output")
        ->needs("--apply-to")
        ->group("Results");
    app->footer(kExamples);
    return app;
  }

  int Run(Session& session) override {
    v1::MatrixExpRequest request;
    absl::Status status;
    for (const std::string& path : {output_, grad_a_, grad_apply_to_}) {
      if (status.ok()) status = session.files().ClaimOutput(path);
    }
    if (status.ok()) status = inputs_.Fill(session.files(), input_type_.dtype(), request);
    if (!status.ok()) return session.UsageFailure(status);
    request.set_diagnostics(diagnostics_);
    acts_ = request.has_apply_to();
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
    struct Result {
      const char* name;
      const v1::Tensor& tensor;
      const std::string& path;
      bool present;
    };
    const Result results[] = {
        {"result", response.result(), output_, true},
        {"grad_a", response.grad_a(), grad_a_, response.has_grad_a()},
        {"grad_apply_to", response.grad_apply_to(), grad_apply_to_, response.has_grad_apply_to()}};
    std::string lines;
    nlohmann::ordered_json tensors;
    for (const Result& result : results) {
      if (!result.present) continue;
      if (!result.path.empty()) {
        const absl::Status status = session.files().WriteTensor(result.path, result.tensor);
        if (!status.ok()) return session.UsageFailure(status);
      }
      lines += TensorLine(result.name, result.tensor, result.path);
      tensors[result.name] = TensorJson(result.tensor, result.path);
    }
    session.console().Text(lines + ReportTable(response, acts_));
    if (diagnostics_) session.console().Text(DiagnosticsTable(response));
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    nlohmann::ordered_json document = {{"ok", true}, {"tensors", tensors}, {"reports", ReportsJson(response)}};
    if (diagnostics_) document["diagnostics"] = DiagnosticsJson(response);
    document["stats"] = StatsJson(response.stats(), round_trip_seconds);
    session.console().Json(document);
    return kOk;
  }

  TensorFlags<v1::MatrixExpRequest> inputs_{
      {"--a", "[..., n, n]", &v1::MatrixExpRequest::mutable_a},
      {"--apply-to", "B [..., n, p], or [n, p] for all: compute exp(tA) B instead",
       &v1::MatrixExpRequest::mutable_apply_to},
      {"--grad-output", "dL/d result, of its shape: compute the gradients too",
       &v1::MatrixExpRequest::mutable_grad_output}};
  std::vector<double> times_;
  std::string structure_ = "auto";
  InputTypeFlag input_type_;
  bool diagnostics_ = false;
  bool acts_ = false;
  std::string output_;
  std::string grad_a_;
  std::string grad_apply_to_;
};

}  // namespace

std::unique_ptr<Command> MakeExpmCommand() { return std::make_unique<ExpmCommand>(); }

}  // namespace attend::cli
