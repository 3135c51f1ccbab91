// attend project algebra
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "client/cli/project_kind.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kFooter[] =
    "Targets, the nearest in the Frobenius norm unless noted:\n"
    "  generator              off-diagonal entries at least 0, rows sum to 0\n"
    "  zero_row_sum           rows sum to 0\n"
    "  zero_row_sum_diagonal  rows sum to 0 by changing the diagonal alone; not the nearest\n"
    "  skew_symmetric, symmetric, traceless\n"
    "\n"
    "Examples:\n"
    "  attend project algebra --m scores.npy --onto generator --output g.npy\n"
    "  attend project algebra --m m.npy --onto skew_symmetric --output - > skew.npy\n";

class ProjectAlgebra : public ProjectKind {
 public:
  CLI::App* Declare(CLI::App& project) override {
    CLI::App* app = project.add_subcommand("algebra", "The nearest generator, skew-symmetric, ... matrix");
    inputs_.Declare(*app, "Input");
    app->get_option("--m")->required();
    app->add_option("--onto", target_, "What to project onto, see below")
        ->type_name("TARGET")
        ->check(CLI::IsMember(
                    {"generator", "zero_row_sum", "zero_row_sum_diagonal", "skew_symmetric", "symmetric", "traceless"})
                    .description(""))
        ->required()
        ->group("Input");
    input_type_.Declare(*app, "Input");
    app->add_option("--output", output_, "[..., n, n]")->type_name("FILE")->group("Results");
    app->footer(kFooter);
    return app;
  }

  absl::Status Fill(ArrayFiles& files, v1::ProjectRequest& request) const override {
    v1::AlgebraProjection::Target target = v1::AlgebraProjection::TARGET_UNSPECIFIED;
    v1::AlgebraProjection::Target_Parse("TARGET_" + absl::AsciiStrToUpper(target_), &target);
    request.mutable_algebra()->set_target(target);
    return inputs_.Fill(files, input_type_.dtype(), *request.mutable_algebra());
  }

  std::vector<std::string> OutputPaths() const override { return {output_}; }
  std::string ReportText(const v1::ProjectReport& report) const override {
    const char* what = target_ == "traceless" ? ", |trace| {:.1e}" : ", |row sum| at most {:.1e}";
    const bool has_sums = target_ == "traceless" || target_ == "generator" || target_.rfind("zero_row_sum", 0) == 0;
    return fmt::format("distance {:.6g}", report.distance()) +
           (has_sums ? fmt::format(fmt::runtime(what), report.residual()) : "");
  }

 private:
  TensorFlags<v1::AlgebraProjection> inputs_{{"--m", "[..., n, n]", &v1::AlgebraProjection::mutable_m}};
  std::string target_;
  std::string output_;
  InputTypeFlag input_type_;
};

}  // namespace

std::unique_ptr<ProjectKind> MakeProjectAlgebra() { return std::make_unique<ProjectAlgebra>(); }

}  // namespace attend::cli
