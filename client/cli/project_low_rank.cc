// attend project low-rank
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/project_kind.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend project low-rank --a w.npy --rank 16 --u u.npy --singular-values s.npy --vt vt.npy\n"
    "  attend project low-rank --a w.npy --energy 0.99 --json\n";

class ProjectLowRank : public ProjectKind {
 public:
  CLI::App* Declare(CLI::App& project) override {
    CLI::App* app = project.add_subcommand("low-rank", "The best u diag(s) v^T of a given rank or energy");
    inputs_.Declare(*app, "Input");
    app->get_option("--a")->required();
    CLI::Option* rank =
        app->add_option("--rank", rank_, "How many singular values to keep")->type_name("N")->group("Input");
    app->add_option("--energy", energy_, "Keep this share of their squares, in (0, 1]")
        ->type_name("NUMBER")
        ->excludes(rank)
        ->group("Input");
    app->add_option("--max-distance-over-best", most_over_best_,
                    "By rank: near enough is so many times the best; 1: exact [1.0001]")
        ->type_name("NUMBER")
        ->group("Input");
    input_type_.Declare(*app, "Input");
    app->add_option("--u", u_, "[..., n, r]")->type_name("FILE")->group("Results");
    app->add_option("--singular-values", values_, "[..., r]")->type_name("FILE")->group("Results");
    app->add_option("--vt", vt_, "v^T [..., r, m]")->type_name("FILE")->group("Results");
    app->footer(kExamples);
    return app;
  }

  absl::Status Fill(ArrayFiles& files, v1::ProjectRequest& request) const override {
    v1::LowRankProjection& low_rank = *request.mutable_low_rank();
    if (!rank_.has_value() && !energy_.has_value()) {
      return absl::InvalidArgumentError("expected either --rank or --energy");
    }
    if (rank_.has_value()) low_rank.set_rank(*rank_);
    if (energy_.has_value()) low_rank.set_energy(*energy_);
    if (most_over_best_.has_value()) low_rank.set_max_distance_over_best(*most_over_best_);
    return inputs_.Fill(files, input_type_.dtype(), low_rank);
  }

  std::vector<std::string> OutputPaths() const override { return {u_, values_, vt_}; }
  std::string OutputName(int i) const override {
    static constexpr const char* kNames[] = {"u", "s", "v^T"};
    return i < 3 ? kNames[i] : ProjectKind::OutputName(i);
  }
  std::string ReportText(const v1::ProjectReport& report) const override {
    return fmt::format("distance {:.6g}, energy kept {:.6g}, numerical rank {}{}{}", report.distance(), report.energy(),
                       report.rank_is_least() ? "at least " : "", report.numerical_rank(),
                       report.randomized()
                           ? fmt::format("; randomized, at most {:.1e} over the best", report.distance_over_best() - 1)
                           : "");
  }

 private:
  TensorFlags<v1::LowRankProjection> inputs_{{"--a", "[..., n, m]", &v1::LowRankProjection::mutable_a}};
  std::optional<uint32_t> rank_;
  std::optional<double> energy_;
  std::optional<double> most_over_best_;
  std::string u_, values_, vt_;
  InputTypeFlag input_type_;
};

}  // namespace

std::unique_ptr<ProjectKind> MakeProjectLowRank() { return std::make_unique<ProjectLowRank>(); }

}  // namespace attend::cli
