#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "server/compute/project/project.h"
#include "server/runtime/cancellation.h"
#include "tests/golden/golden.h"

namespace attend::compute {
namespace {

class ProjectGolden : public testing::Test {
 protected:
  // The case whose name begins so.
  nlohmann::json Case(const std::string& name) const {
    for (const auto& c : cases_["project"]) {
      if (c["name"].get<std::string>().rfind(name, 0) == 0) return c;
    }
    ADD_FAILURE() << "no case " << name;
    return {};
  }

  static std::vector<double> Data(const nlohmann::json& tensor) { return golden::ParseTensor(tensor).data; }

  // Entries are of order 1 to 10 and sums have at most 25 terms; the golden value rounds as well.
  static void ExpectNear(const std::vector<double>& actual, const std::vector<double>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t k = 0; k < actual.size(); ++k)
      EXPECT_NEAR(actual[k], expected[k], 1e-14 * (1 + std::fabs(expected[k])));
  }

  runtime::Cancellation cancellation_;
  runtime::InlineExecutor executor_{cancellation_};
  runtime::BufferPool pool_;
  const nlohmann::json cases_ = golden::LoadGolden("expm_project.json");
};

TEST_F(ProjectGolden, LinearThreeWeights) {
  const nlohmann::json c = Case("linear_three_weights");
  const golden::GoldenTensor x = golden::ParseTensor(c["x"]);
  std::vector<std::vector<double>> w, b, outputs;
  std::vector<double*> pointers;
  for (size_t i = 0; i < 3; ++i) {
    w.push_back(Data(c["weights"][i]));
    b.push_back(Data(c["biases"][i]));
    outputs.emplace_back(Data(c["outputs"][i]).size());
    pointers.push_back(outputs.back().data());
  }
  LinearProblem<double> problem{x.data.data(), x.shape[0] * x.shape[1], x.shape[2], {}};
  for (size_t i = 0; i < 3; ++i) {
    problem.weights.push_back({w[i].data(), b[i].data(), static_cast<int64_t>(b[i].size())});
  }
  ASSERT_TRUE(LinearProjection(executor_, pool_, problem, pointers).ok());
  for (size_t i = 0; i < 3; ++i) ExpectNear(outputs[i], Data(c["outputs"][i]));
}

TEST_F(ProjectGolden, Congruences) {
  for (const std::string name : {"sequence_form", "embedding_form", "factored"}) {
    SCOPED_TRACE(name);
    const nlohmann::json c = Case(name);
    const golden::GoldenTensor e = golden::ParseTensor(c["e"]);
    CongruenceProblem<double> problem;
    problem.form = name == "embedding_form" ? CongruenceForm::kEmbedding : CongruenceForm::kSequence;
    problem.n = e.shape[0];
    problem.d = e.shape[1];
    problem.e = e.data.data();
    problem.scale = c["scale"].get<double>();
    std::vector<double> a, w_query, w_key, output(Data(c["output"]).size());
    if (name == "factored") {
      w_query = Data(c["w_query"]);
      w_key = Data(c["w_key"]);
      problem.w_query = w_query.data();
      problem.w_key = w_key.data();
      problem.d_k = golden::ParseTensor(c["w_query"]).shape[1];
    } else {
      a = Data(c["a"]);
      problem.a = a.data();
    }
    ASSERT_TRUE(CongruenceProjection(executor_, pool_, problem, output.data()).ok());
    ExpectNear(output, Data(c["output"]));
  }
}

}  // namespace
}  // namespace attend::compute
