// attend project congruence
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/project_kind.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend project congruence --e e.npy --a a.npy --output scores.npy\n"
    "  attend project congruence --e e.npy --w-query wq.npy --w-key wk.npy --form sequence --output s.npy\n";

class ProjectCongruence : public ProjectKind {
 public:
  CLI::App* Declare(CLI::App& project) override {
    CLI::App* app = project.add_subcommand("congruence", "scale E A E^T, or scale E^T A E");
    app_ = app;
    inputs_.Declare(*app, "Input");
    app->get_option("--e")->required();
    factors_.Declare(*app, "Input");
    AddChoice(*app, "--form", form_, {"sequence", "embedding"}, "E A E^T or E^T A E")
        ->capture_default_str()
        ->group("Input");
    app->add_option("--scale", scale_, "Default 1/sqrt(d), with factors 1/sqrt(d_k)")
        ->type_name("NUMBER")
        ->group("Input");
    input_type_.Declare(*app, "Input");
    app->add_option("--output", output_, "[n, n], or [d, d] for embedding")->type_name("FILE")->group("Results");
    app->footer(kExamples);
    return app;
  }

  absl::Status Fill(ArrayFiles& files, v1::ProjectRequest& request) const override {
    v1::Congruence& congruence = *request.mutable_congruence();
    const bool has_a = app_->get_option("--a")->count() > 0;
    if (has_a == factors_.any()) {
      return absl::InvalidArgumentError("expected either --a, or --w-query with --w-key");
    }
    congruence.set_form(form_ == "embedding" ? v1::Congruence::FORM_EMBEDDING : v1::Congruence::FORM_SEQUENCE);
    if (scale_.has_value()) congruence.set_scale(*scale_);
    const std::optional<v1::DataType> as = input_type_.dtype();
    if (absl::Status status = inputs_.Fill(files, as, congruence); !status.ok()) return status;
    return has_a ? absl::OkStatus() : factors_.Fill(files, as, *congruence.mutable_factors());
  }

  std::vector<std::string> OutputPaths() const override { return {output_}; }
  std::string ReportText(const v1::ProjectReport& report) const override {
    return fmt::format("numerical rank of A {}{}", report.numerical_rank(), report.rank_by_qr() ? " (by QR)" : "");
  }

 private:
  CLI::App* app_ = nullptr;
  TensorFlags<v1::Congruence> inputs_{{"--e", "[n, d]", &v1::Congruence::mutable_e},
                                      {"--a", "[d, d]; embedding: [n, n]", &v1::Congruence::mutable_a}};
  TensorFlags<v1::Factors> factors_{{"--w-query", "[d, d_k]: A = w_query w_key^T", &v1::Factors::mutable_w_query},
                                    {"--w-key", "[d, d_k]", &v1::Factors::mutable_w_key}};
  std::string form_ = "sequence";
  std::optional<double> scale_;
  std::string output_;
  InputTypeFlag input_type_;
};

}  // namespace

std::unique_ptr<ProjectKind> MakeProjectCongruence() { return std::make_unique<ProjectCongruence>(); }

}  // namespace attend::cli
