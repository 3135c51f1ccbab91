// The kinds of projection, each a subcommand of `attend project` in a file of its own. Not thread-safe.
#ifndef ATTEND_CLIENT_CLI_PROJECT_KIND_H_
#define ATTEND_CLIENT_CLI_PROJECT_KIND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "attend/v1/attend.pb.h"
#include "client/cli/array_files.h"

namespace CLI {
class App;
}  // namespace CLI

namespace attend::cli {

class ProjectKind {
 public:
  virtual ~ProjectKind() = default;

  // Adds the subcommand with its flags. This must outlive `project`'s parsing.
  virtual CLI::App* Declare(CLI::App& project) = 0;

  // The request, from the files that the flags name.
  virtual absl::Status Fill(ArrayFiles& files, v1::ProjectRequest& request) const = 0;

  // Where the answer's outputs go, in their order; "" (or a list that ends sooner): nowhere.
  virtual std::vector<std::string> OutputPaths() const = 0;

  // What to call output i: "output 2", "u".
  virtual std::string OutputName(int i) const;

  // One report on one line, such as "distance 1.2e-03"; the numbers that this kind has.
  virtual std::string ReportText(const v1::ProjectReport& report) const = 0;
};

std::unique_ptr<ProjectKind> MakeProjectLinear();
std::unique_ptr<ProjectKind> MakeProjectCongruence();
std::unique_ptr<ProjectKind> MakeProjectAlgebra();
std::unique_ptr<ProjectKind> MakeProjectLowRank();

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_PROJECT_KIND_H_
