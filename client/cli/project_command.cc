// attend project linear | congruence: one Project call from .npy files.
#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/report.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kLinearExamples[] =
    "Examples:\n"
    "  attend project linear --x x.npy --w wq.npy --w wk.npy --output q.npy --output k.npy\n"
    "  attend project linear --x x.npy --w w.npy --b b.npy --output - > y.npy\n";
constexpr char kCongruenceExamples[] =
    "Examples:\n"
    "  attend project congruence --e e.npy --a a.npy --output scores.npy\n"
    "  attend project congruence --e e.npy --w-query wq.npy --w-key wk.npy --form sequence --output s.npy\n";

class ProjectCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("project", "Linear projections x w + b, congruences E A E^T");
    app->require_subcommand(0, 1);
    app->footer("Examples:\n  attend project linear --help\n  attend project congruence --help\n");
    linear_ = app->add_subcommand("linear", "x w + b, for any number of w");
    linear_inputs_.Declare(*linear_, "Input");
    linear_->get_option("--x")->required();
    AddFiles("--w", weights_, "[d, e]; repeatable", "Input")->required();
    AddFiles("--b", biases_, "[e]; none, or one per --w", "Input");
    AddFiles("--output", outputs_, "[..., n, e]; none, or one per --w", "Results");
    input_type_.Declare(*linear_, "Input");
    linear_->footer(kLinearExamples);
    DeclareCongruence(app->add_subcommand("congruence", "scale E A E^T, or scale E^T A E"));
    return app;
  }

  int Run(Session& session) override {
    if (!linear_->parsed() && !congruence_->parsed()) {
      return session.UsageFailure(absl::InvalidArgumentError("a subcommand is required: project linear or congruence"));
    }
    v1::ProjectRequest request;
    absl::Status status =
        linear_->parsed() ? SetLinear(session.files(), request) : SetCongruence(session.files(), request);
    for (const std::string& path : outputs_) {
      if (status.ok()) status = session.files().ClaimOutput(path);
    }
    if (!status.ok()) return session.UsageFailure(status);
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    const absl::Time start = absl::Now();
    absl::StatusOr<v1::ProjectResponse> response = (*client)->Project(request);
    if (!response.ok()) return session.CallFailure(response.status());
    return Deliver(session, *response, absl::ToDoubleSeconds(absl::Now() - start));
  }

 private:
  CLI::Option* AddFiles(const std::string& name, std::vector<std::string>& paths, const std::string& help,
                        const std::string& group) {
    return linear_->add_option(name, paths, help)
        ->type_name("FILE")
        ->expected(1)
        ->group(group)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  void DeclareCongruence(CLI::App* app) {
    congruence_ = app;
    congruence_inputs_.Declare(*app, "Input");
    app->get_option("--e")->required();
    factors_.Declare(*app, "Input");
    AddChoice(*app, "--form", form_, {"sequence", "embedding"}, "E A E^T or E^T A E")
        ->capture_default_str()
        ->group("Input");
    app->add_option("--scale", scale_, "Default 1/sqrt(d), with factors 1/sqrt(d_k)")
        ->type_name("NUMBER")
        ->group("Input");
    congruence_input_type_.Declare(*app, "Input");
    app->add_option("--output", outputs_, "[n, n], or [d, d] for embedding")
        ->type_name("FILE")
        ->expected(1)
        ->group("Results");
    app->footer(kCongruenceExamples);
  }

  absl::Status SetLinear(ArrayFiles& files, v1::ProjectRequest& request) const {
    v1::LinearProjection& linear = *request.mutable_linear();
    if (!outputs_.empty() && outputs_.size() != weights_.size()) {
      return absl::InvalidArgumentError(
          fmt::format("{} --output for {} --w: expected none, or one each", outputs_.size(), weights_.size()));
    }
    if (absl::Status status = linear_inputs_.Fill(files, input_type_.dtype(), linear); !status.ok()) return status;
    for (const std::string& path : weights_) {
      absl::StatusOr<v1::Tensor> tensor = files.ReadTensor(path, input_type_.dtype());
      if (!tensor.ok()) return tensor.status();
      linear.add_w()->Swap(&*tensor);
    }
    for (const std::string& path : biases_) {
      absl::StatusOr<v1::Tensor> tensor = files.ReadTensor(path, input_type_.dtype());
      if (!tensor.ok()) return tensor.status();
      linear.add_b()->Swap(&*tensor);
    }
    return absl::OkStatus();
  }

  absl::Status SetCongruence(ArrayFiles& files, v1::ProjectRequest& request) const {
    v1::Congruence& congruence = *request.mutable_congruence();
    const bool has_a = congruence_->get_option("--a")->count() > 0;
    if (has_a == factors_.any()) {
      return absl::InvalidArgumentError("expected either --a, or --w-query with --w-key");
    }
    congruence.set_form(form_ == "embedding" ? v1::Congruence::FORM_EMBEDDING : v1::Congruence::FORM_SEQUENCE);
    if (scale_.has_value()) congruence.set_scale(*scale_);
    const std::optional<v1::DataType> as = congruence_input_type_.dtype();
    if (absl::Status status = congruence_inputs_.Fill(files, as, congruence); !status.ok()) return status;
    return has_a ? absl::OkStatus() : factors_.Fill(files, as, *congruence.mutable_factors());
  }

  int Deliver(Session& session, const v1::ProjectResponse& response, double round_trip_seconds) const {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::array();
    for (int i = 0; i < response.outputs_size(); ++i) {
      const std::string path = static_cast<size_t>(i) < outputs_.size() ? outputs_[i] : "";
      if (!path.empty()) {
        const absl::Status status = session.files().WriteTensor(path, response.outputs(i));
        if (!status.ok()) return session.UsageFailure(status);
      }
      session.console().Text(TensorLine(fmt::format("output {}", i), response.outputs(i), path));
      tensors.push_back(TensorJson(response.outputs(i), path));
    }
    nlohmann::ordered_json reports = nlohmann::ordered_json::array();
    for (const v1::ProjectReport& report : response.reports()) {
      session.console().Text(fmt::format("report    numerical rank of A {}\n", report.numerical_rank()));
      reports.push_back(
          {{"distance", report.distance()}, {"numerical_rank", report.numerical_rank()}, {"energy", report.energy()}});
    }
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    session.console().Json({{"ok", true},
                            {"tensors", tensors},
                            {"reports", reports},
                            {"stats", StatsJson(response.stats(), round_trip_seconds)}});
    return kOk;
  }

  CLI::App* linear_ = nullptr;
  TensorFlags<v1::LinearProjection> linear_inputs_{{"--x", "[..., n, d]", &v1::LinearProjection::mutable_x}};
  std::vector<std::string> weights_;
  std::vector<std::string> biases_;
  InputTypeFlag input_type_;

  CLI::App* congruence_ = nullptr;
  TensorFlags<v1::Congruence> congruence_inputs_{{"--e", "[n, d]", &v1::Congruence::mutable_e},
                                                 {"--a", "[d, d]; embedding: [n, n]", &v1::Congruence::mutable_a}};
  TensorFlags<v1::Factors> factors_{{"--w-query", "[d, d_k]: A = w_query w_key^T", &v1::Factors::mutable_w_query},
                                    {"--w-key", "[d, d_k]", &v1::Factors::mutable_w_key}};
  std::string form_ = "sequence";
  std::optional<double> scale_;
  InputTypeFlag congruence_input_type_;

  std::vector<std::string> outputs_;
};

}  // namespace

std::unique_ptr<Command> MakeProjectCommand() { return std::make_unique<ProjectCommand>(); }

}  // namespace attend::cli
