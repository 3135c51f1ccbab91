// attend project linear
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/project_kind.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  attend project linear --x x.npy --w wq.npy --w wk.npy --output q.npy --output k.npy\n"
    "  attend project linear --x x.npy --w w.npy --b b.npy --output - > y.npy\n";

class ProjectLinear : public ProjectKind {
 public:
  CLI::App* Declare(CLI::App& project) override {
    CLI::App* app = project.add_subcommand("linear", "x w + b, for any number of w");
    inputs_.Declare(*app, "Input");
    app->get_option("--x")->required();
    AddFiles(*app, "--w", weights_, "[d, e]; repeatable", "Input")->required();
    AddFiles(*app, "--b", biases_, "[e]; none, or one per --w", "Input");
    AddFiles(*app, "--output", outputs_, "[..., n, e]; none, or one per --w", "Results");
    input_type_.Declare(*app, "Input");
    app->footer(kExamples);
    return app;
  }

  absl::Status Fill(ArrayFiles& files, v1::ProjectRequest& request) const override {
    v1::LinearProjection& linear = *request.mutable_linear();
    if (!outputs_.empty() && outputs_.size() != weights_.size()) {
      return absl::InvalidArgumentError(
          fmt::format("{} --output for {} --w: expected none, or one each", outputs_.size(), weights_.size()));
    }
    if (absl::Status status = inputs_.Fill(files, input_type_.dtype(), linear); !status.ok()) return status;
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

  std::vector<std::string> OutputPaths() const override { return outputs_; }
  std::string ReportText(const v1::ProjectReport& report) const override { return ""; }

 private:
  static CLI::Option* AddFiles(CLI::App& app, const std::string& name, std::vector<std::string>& paths,
                               const std::string& help, const std::string& group) {
    return app.add_option(name, paths, help)
        ->type_name("FILE")
        ->expected(1)
        ->group(group)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  TensorFlags<v1::LinearProjection> inputs_{{"--x", "[..., n, d]", &v1::LinearProjection::mutable_x}};
  std::vector<std::string> weights_;
  std::vector<std::string> biases_;
  std::vector<std::string> outputs_;
  InputTypeFlag input_type_;
};

}  // namespace

std::unique_ptr<ProjectKind> MakeProjectLinear() { return std::make_unique<ProjectLinear>(); }

}  // namespace attend::cli
