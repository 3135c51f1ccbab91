// attend lie-view: the Lie view of a real sentence in a real layer, in numbers and pictures.
#include <cmath>
#include <filesystem>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "client/cli/command.h"
#include "client/cli/exit_code.h"
#include "client/cli/lie_view_report.h"
#include "client/cli/number_list.h"
#include "client/cli/output.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend lie-view --pictures /tmp\n"
    "  attend lie-view --times 0.1,0.2,0.4 --head 2 --target 127.0.0.1:50051 --json\n";

std::string CheckTime(std::string& text) {
  double time = 0;
  const bool good = absl::SimpleAtod(text, &time) && time >= 0 && std::isfinite(time);
  return good ? "" : fmt::format("got \"{}\", expected a number of at least 0", text);
}

class LieViewCommand : public Command {
 public:
  CLI::App* Declare(CLI::App& program) override {
    CLI::App* app = program.add_subcommand("lie-view", "Attention as a group action: generators, chains, spectra");
    const std::string group = "View";
    app->add_option("--data", data_, "The example's folder; default: examples/street")
        ->type_name("DIR")
        ->envname("ATTEND_DATA")
        ->group(group);
    AddNumbers(*app, "--times", times_, "The t of exp(tG)", 0)->group(group);
    app->add_option("--beside", beside_, "The t of exp(tG) drawn beside softmax")
        ->type_name("TIME")
        ->check(CLI::Validator(CheckTime, ""))
        ->capture_default_str()
        ->group(group);
    app->add_option("--head", head_, fmt::format("Which head the heatmaps show, 1 to {}", Street::kHeads))
        ->type_name("HEAD")
        ->check(CLI::Range(1, Street::kHeads).description(""))
        ->capture_default_str()
        ->group(group);
    app->add_option("--pictures", pictures_, "Folder for lie-flow, lie-softmax and lie-spectrum.png")
        ->type_name("DIR")
        ->capture_default_str()
        ->group(group);
    app->footer(std::string("Without --target it hosts the server in its own process.\n\n") + kExamples);
    return app;
  }

  int Run(Session& session) override {
    session.PreferLocal();
    absl::StatusOr<std::string> folder = FindStreetFolder(data_);
    if (!folder.ok()) return session.UsageFailure(folder.status());
    absl::StatusOr<Street> street = LoadStreet(*folder);
    if (!street.ok()) return session.UsageFailure(street.status());
    if (absl::Status status = CheckFolderOf(Path("lie-flow.png")); !status.ok()) return session.UsageFailure(status);
    absl::StatusOr<const client::Client*> client = session.Connect();
    if (!client.ok()) return session.CallFailure(client.status());
    absl::StatusOr<LieView> view = LookAtLayer(**client, *street, times_, beside_);
    if (!view.ok()) return session.CallFailure(view.status());
    if (absl::Status drawn = Draw(*view); !drawn.ok()) return session.UsageFailure(drawn);
    session.console().Text(fmt::format("\"{}\"\n{} tokens, {} heads of a real transformer layer\n\n{}\nPictures: {}\n",
                                       street->sentence, view->tokens.size(), view->heads.size(), LieViewText(*view),
                                       Path("lie-{flow,softmax,spectrum}.png")));
    nlohmann::ordered_json document = LieViewJson(*view);
    document["ok"] = true;
    session.console().Json(document);
    return kOk;
  }

 private:
  std::string Path(const std::string& name) const { return (std::filesystem::path(pictures_) / name).string(); }

  absl::Status Write(const std::string& name, const absl::StatusOr<std::string>& png) const {
    absl::Status status = png.ok() ? WriteFile(Path(name), {*png}) : png.status();
    if (status.ok()) return status;
    return absl::Status(status.code(), fmt::format("{}: {}", Path(name), std::string(status.message())));
  }

  absl::Status Draw(const LieView& view) const {
    const auto head = static_cast<size_t>(head_ - 1);
    absl::Status status = Write("lie-flow.png", DrawHeatmap(FlowHeatmap(view, head)));
    if (status.ok()) status = Write("lie-softmax.png", DrawHeatmap(SoftmaxHeatmap(view, head)));
    if (status.ok()) status = Write("lie-spectrum.png", DrawSpectrum(SpectraOf(view)));
    return status;
  }

  std::string data_;
  std::vector<double> times_ = {0, 0.02, 0.05, 0.1, 0.2, 1};
  // Where exp(tG) comes nearest to softmax in this layer, by the mean |difference| over the heads.
  double beside_ = 0.03;
  int head_ = 1;
  std::string pictures_ = ".";
};

}  // namespace

std::unique_ptr<Command> MakeLieViewCommand() { return std::make_unique<LieViewCommand>(); }

}  // namespace attend::cli
