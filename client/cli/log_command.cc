// attend log: one MatrixLog call from .npy files.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

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
    "  attend log --a s.npy --output l.npy\n"
    "  attend log --a s.npy --nearest-generator q.npy --json\n";

class LogCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("log", "log A, and whether a stochastic A is exp of a generator");
    inputs_.Declare(*app, "Input");
    app->get_option("--a")->required();
    input_type_.Declare(*app, "Input");
    app->add_option("--output", output_, "The principal logarithm [..., n, n]; NaN where there is none")
        ->type_name("FILE")
        ->group("Results");
    app->add_option("--nearest-generator", nearest_, "The generator nearest to it [..., n, n]")
        ->type_name("FILE")
        ->group("Results");
    app->footer(kExamples);
    return app;
  }

  int Run(Session& session) override {
    v1::MatrixLogRequest request;
    absl::Status status = session.files().ClaimOutput(output_);
    if (status.ok()) status = session.files().ClaimOutput(nearest_);
    if (status.ok()) status = inputs_.Fill(session.files(), input_type_.dtype(), request);
    if (!status.ok()) return session.UsageFailure(status);
    request.set_nearest_generator(!nearest_.empty());
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    const absl::Time start = absl::Now();
    absl::StatusOr<v1::MatrixLogResponse> response = (*client)->MatrixLog(request);
    if (!response.ok()) return session.CallFailure(response.status());
    return Deliver(session, *response, absl::ToDoubleSeconds(absl::Now() - start));
  }

 private:
  int Deliver(Session& session, const v1::MatrixLogResponse& response, double round_trip_seconds) const {
    absl::Status status;
    if (!output_.empty()) status = session.files().WriteTensor(output_, response.result());
    if (status.ok() && !nearest_.empty()) status = session.files().WriteTensor(nearest_, response.nearest_generator());
    if (!status.ok()) return session.UsageFailure(status);
    nlohmann::ordered_json tensors = {{"result", TensorJson(response.result(), output_)}};
    session.console().Text(TensorLine("result", response.result(), output_));
    if (!nearest_.empty()) {
      session.console().Text(TensorLine("nearest_generator", response.nearest_generator(), nearest_));
      tensors["nearest_generator"] = TensorJson(response.nearest_generator(), nearest_);
    }
    session.console().Text(LogTable(response));
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    session.console().Json({{"ok", true},
                            {"tensors", tensors},
                            {"reports", LogJson(response)},
                            {"stats", StatsJson(response.stats(), round_trip_seconds)}});
    return kOk;
  }

  TensorFlags<v1::MatrixLogRequest> inputs_{{"--a", "[..., n, n]", &v1::MatrixLogRequest::mutable_a}};
  InputTypeFlag input_type_;
  std::string output_;
  std::string nearest_;
};

}  // namespace

std::unique_ptr<Command> MakeLogCommand() { return std::make_unique<LogCommand>(); }

}  // namespace attend::cli
