// attend attention: one Attention call from .npy files.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "client/cli/attention_flags.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/report.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend attention --query q.npy --key k.npy --value v.npy --causal bottom_right --output out.npy\n"
    "  attend attention --x x.npy --w-q wq.npy --w-k wk.npy --w-v wv.npy --num-heads 4 --weights w.npy\n"
    "  attend attention --query q.npy --key k.npy --value v.npy --normalization generator_exp \\\n"
    "    --rate exp --time 0.5 --output - > out.npy\n"
    "  attend attention --query q.npy --key k.npy --value v.npy --grad-output g.npy --gradients .\n";

// One result: where it comes back and where it goes.
struct Result {
  const char* name;
  const char* help;
  v1::AttentionOutput asked_by;  // UNSPECIFIED: comes back always
  bool (v1::AttentionResponse::*has)() const;
  const v1::Tensor& (v1::AttentionResponse::*get)() const;
  std::string path = "";
};

class AttentionCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("attention", "softmax(score(Q, K)) V, or exp(tG) V, from .npy files");
    flags_.Declare(*app);
    for (Result& result : results_) {
      app->add_option(std::string("--") + result.name, result.path, result.help)->type_name("FILE")->group("Results");
    }
    app->add_option("--gradients", gradients_folder_, "Where they go: query.npy, w_q.npy, ..., named after the inputs")
        ->type_name("FOLDER")
        ->group("Gradients");
    app->footer(kExamples);
    return app;
  }

  int Run(Session& session) override {
    for (const Result& result : results_) {
      if (absl::Status status = session.files().ClaimOutput(result.path); !status.ok()) {
        return session.UsageFailure(status);
      }
    }
    if (absl::Status status = ClaimGradients(session.files()); !status.ok()) return session.UsageFailure(status);
    absl::StatusOr<v1::AttentionRequest> request = flags_.MakeRequest(session.files());
    if (!request.ok()) return session.UsageFailure(request.status());
    for (const Result& result : results_) {
      if (!result.path.empty() && result.asked_by != v1::ATTENTION_OUTPUT_UNSPECIFIED) {
        request->add_return_outputs(result.asked_by);
      }
    }
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    const absl::Time start = absl::Now();
    absl::StatusOr<v1::AttentionResponse> response = (*client)->Attention(*request);
    if (!response.ok()) return session.CallFailure(response.status());
    return Deliver(session, *response, absl::ToDoubleSeconds(absl::Now() - start));
  }

 private:
  // Empty without a folder: the gradients are then shown, not kept.
  std::string GradientPath(const std::string& name) const {
    return gradients_folder_.empty() ? "" : (std::filesystem::path(gradients_folder_) / (name + ".npy")).string();
  }

  absl::Status ClaimGradients(ArrayFiles& files) const {
    if (gradients_folder_.empty()) return absl::OkStatus();
    if (!flags_.asks_for_gradients()) return absl::InvalidArgumentError("--gradients needs --grad-output");
    for (const std::string& name : flags_.GradientNames()) {
      if (absl::Status status = files.ClaimOutput(GradientPath(name)); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  int Deliver(Session& session, const v1::AttentionResponse& response, double round_trip_seconds) const {
    nlohmann::ordered_json tensors = nlohmann::ordered_json::object();
    const auto deliver = [&](const std::string& name, const v1::Tensor& tensor, const std::string& path) {
      if (!path.empty()) {
        if (absl::Status status = session.files().WriteTensor(path, tensor); !status.ok()) return status;
      }
      session.console().Text(TensorLine(name, tensor, path));
      tensors[name] = TensorJson(tensor, path);
      return absl::OkStatus();
    };
    for (const Result& result : results_) {
      if (!(response.*result.has)()) continue;
      const absl::Status status = deliver(result.name, (response.*result.get)(), result.path);
      if (!status.ok()) return session.UsageFailure(status);
    }
    const std::map<std::string, v1::Tensor> gradients(response.gradients().begin(), response.gradients().end());
    for (const auto& [name, gradient] : gradients) {
      const absl::Status status = deliver("grad_" + name, gradient, GradientPath(name));
      if (!status.ok()) return session.UsageFailure(status);
    }
    session.console().Note(StatsLine(response.stats(), round_trip_seconds));
    session.console().Json(
        {{"ok", true}, {"tensors", tensors}, {"stats", StatsJson(response.stats(), round_trip_seconds)}});
    return kOk;
  }

  AttentionFlags flags_;
  std::string gradients_folder_;
  std::vector<Result> results_ = {
      {"output", "Heads: [batch, heads, n, d_value]; tokens: [batch, n, d_out]", v1::ATTENTION_OUTPUT_UNSPECIFIED,
       &v1::AttentionResponse::has_output, &v1::AttentionResponse::output},
      {"weights", "[batch, heads, n, m]", v1::ATTENTION_OUTPUT_WEIGHTS, &v1::AttentionResponse::has_weights,
       &v1::AttentionResponse::weights},
      {"scores", "[batch, heads, n, m], before normalization", v1::ATTENTION_OUTPUT_SCORES,
       &v1::AttentionResponse::has_scores, &v1::AttentionResponse::scores},
      {"lse", "[batch, heads, n], log sum exp of the scores", v1::ATTENTION_OUTPUT_LSE, &v1::AttentionResponse::has_lse,
       &v1::AttentionResponse::lse},
      {"entropy", "[batch, heads, n], of the weights, in nats", v1::ATTENTION_OUTPUT_ENTROPY,
       &v1::AttentionResponse::has_entropy, &v1::AttentionResponse::entropy},
  };
};

}  // namespace

std::unique_ptr<Command> MakeAttentionCommand() { return std::make_unique<AttentionCommand>(); }

}  // namespace attend::cli
