// attend demo: a real sentence through a real transformer layer, checked, explained and drawn.
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "client/cli/command.h"
#include "client/cli/demo_report.h"
#include "client/cli/exit_code.h"
#include "client/cli/output.h"
#include "client/cli/report.h"
#include "client/cli/street.h"
#include "client/lib/convert.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend demo\n"
    "  attend demo --picture /tmp/street.png --target 127.0.0.1:50051\n"
    "  attend demo --json\n";

// One call's numbers.
struct Answer {
  std::vector<double> weights;  // [heads, n, n]
  std::vector<double> output;   // [n, 512]
  v1::CallStats stats;
  double round_trip_seconds;
};

absl::StatusOr<Answer> Call(const client::Client& client, const v1::AttentionRequest& request) {
  const absl::Time start = absl::Now();
  absl::StatusOr<v1::AttentionResponse> response = client.Attention(request);
  if (!response.ok()) return response.status();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  absl::StatusOr<std::vector<double>> weights = client::WidenToDoubles(response->weights());
  if (!weights.ok()) return absl::InternalError(fmt::format("weights: {}", std::string(weights.status().message())));
  absl::StatusOr<std::vector<double>> output = client::WidenToDoubles(response->output());
  if (!output.ok()) return absl::InternalError(fmt::format("output: {}", std::string(output.status().message())));
  return Answer{*std::move(weights), *std::move(output), response->stats(), seconds};
}

v1::AttentionRequest SoftmaxRequest(const Street& street) {
  v1::AttentionRequest request;
  *request.mutable_tokens() = street.layer;
  request.mutable_score()->mutable_scaled_dot_product();
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  return request;
}

v1::AttentionRequest ActionRequest(const Street& street) {
  v1::AttentionRequest request = SoftmaxRequest(street);
  request.mutable_normalization()->mutable_generator_exp()->set_rate(v1::GeneratorExp::RATE_SOFTPLUS);
  return request;
}

std::vector<double> Wide(const std::vector<float>& numbers) { return {numbers.begin(), numbers.end()}; }

// Both calls. An answer of another size than asked for is an error here, so that nothing below reads past its end.
absl::StatusOr<DemoResult> Compute(const client::Client& client, const Street& street) {
  absl::StatusOr<Answer> softmax = Call(client, SoftmaxRequest(street));
  if (!softmax.ok()) return softmax.status();
  absl::StatusOr<Answer> action = Call(client, ActionRequest(street));
  if (!action.ok()) return action.status();
  for (const Answer& answer : {*softmax, *action}) {
    if (answer.weights.size() != street.weights.size()) {
      return absl::InternalError(
          fmt::format("got {} attention weights, expected {}", answer.weights.size(), street.weights.size()));
    }
  }
  DemoResult result;
  result.sentence = street.sentence;
  for (const std::string& token : street.tokens) result.tokens.push_back(PlainToken(token));
  result.heads = Street::kHeads;
  result.weights_error = LargestDifference(softmax->weights, Wide(street.weights));
  result.output_error = LargestDifference(softmax->output, Wide(street.output));
  result.action = CompareRows(softmax->weights, action->weights, result.heads, result.tokens.size());
  result.weights = std::move(softmax->weights);
  result.softmax_stats = softmax->stats;
  result.action_stats = action->stats;
  result.softmax_round_trip_seconds = softmax->round_trip_seconds;
  result.action_round_trip_seconds = action->round_trip_seconds;
  return result;
}

class DemoCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("demo", "A real sentence through a real layer: check, explain, draw");
    app->add_option("--data", data_, "The example's folder; default: examples/street")
        ->type_name("DIR")
        ->envname("ATTEND_DATA")
        ->group("Demo");
    app->add_option("--picture", picture_, "Where the heatmaps go")
        ->type_name("FILE")
        ->capture_default_str()
        ->group("Demo");
    app->footer(std::string("Without --target it hosts the server in its own process.\n\n") + kExamples);
    return app;
  }

  int Run(Session& session) override {
    const absl::Time start = absl::Now();
    session.PreferLocal();
    absl::StatusOr<std::string> folder = FindStreetFolder(data_);
    if (!folder.ok()) return session.UsageFailure(folder.status());
    absl::StatusOr<Street> street = LoadStreet(*folder);
    if (!street.ok()) return session.UsageFailure(street.status());
    if (absl::Status status = CheckFolderOf(picture_); !status.ok()) return session.UsageFailure(status);
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    absl::StatusOr<DemoResult> result = Compute(**client, *street);
    if (!result.ok()) return session.CallFailure(result.status());
    result->server = session.ServerText();
    result->picture = picture_;
    if (absl::Status status = Draw(*result); !status.ok()) return session.UsageFailure(status);
    result->total_seconds = absl::ToDoubleSeconds(absl::Now() - start);
    Print(session.console(), *result);
    return result->weights_ok() && result->output_ok() ? kOk : kNo;
  }

 private:
  absl::Status Draw(const DemoResult& result) const {
    absl::StatusOr<std::string> png = DrawHeatmap(DemoHeatmap(result));
    absl::Status status = png.ok() ? WriteFile(picture_, {*png}) : png.status();
    if (status.ok()) return status;
    return absl::Status(status.code(), fmt::format("{}: {}", picture_, std::string(status.message())));
  }

  static void Print(Console& console, const DemoResult& result) {
    console.Text(DemoHeading(result));
    console.Note(StatsLine(result.softmax_stats, result.softmax_round_trip_seconds));
    console.Text("\n" + DemoComparison(result) + "\n" + DemoAttention(result) + "\n" + DemoAction(result));
    console.Note(StatsLine(result.action_stats, result.action_round_trip_seconds));
    console.Text(fmt::format("\nPicture: {}\nTotal: {}\n", result.picture, DurationText(result.total_seconds)));
    console.Json(DemoJson(result));
  }

  std::string data_;
  std::string picture_ = "street-attention.png";
};

}  // namespace

std::unique_ptr<Command> MakeDemoCommand() { return std::make_unique<DemoCommand>(); }

}  // namespace attend::cli
