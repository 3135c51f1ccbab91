// The cases of tests/golden/attention.json, answered by Attention and AttentionFromTokens, and their gradients.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/golden/golden.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/golden_case.h"
#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/attention/tokens_case.h"

namespace attend::compute {
namespace {

using golden::LoadGolden;
using golden::ParseTensor;
using nlohmann::json;

void Compare(const json& test, const Answer& got, const Tolerance& tolerance) {
  const auto expect = [&](const char* name, const std::vector<double>& values, double allowed) {
    if (!test.contains(name)) return;
    EXPECT_TRUE(AllNear(values, ParseTensor(test[name]).data, allowed)) << test["name"] << " " << name;
  };
  expect("output", got.output, tolerance.output);
  expect("weights", got.weights, tolerance.weight);
  expect("lse", got.lse, tolerance.lse);
  expect("entropy", got.entropy, tolerance.entropy);
}

template <typename T>
class AttentionGolden : public testing::Test {
 public:
  // The inputs are float64: in float32 each is rounded once, which moves the results by about as much as computing
  // them.
  static constexpr double kRounding = sizeof(T) == 4 ? 2 : 1;
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionGolden, FloatTypes);

TYPED_TEST(AttentionGolden, EveryCase) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const double epsilon = TestFixture::kRounding * std::numeric_limits<TypeParam>::epsilon();
  std::set<std::string> tried;
  const json golden = LoadGolden("attention.json");
  for (const json& test : golden["cases"]) {
    tried.insert(test["name"]);
    Answer got;
    if (test["inputs"].contains("x")) {
      const TokensCase c = golden::ReadTokens(test);
      ASSERT_TRUE(RunTokens<TypeParam>(c, executor, got).ok()) << test["name"];
      Compare(test, got, TokensTolerance(c, epsilon));
    } else {
      const AttentionCase c = golden::ReadHeads(test);
      // With weights and without them other kernels are at work.
      ASSERT_TRUE(RunCase<TypeParam>(c, executor, Wanted::kEverything, got).ok()) << test["name"];
      Compare(test, got, ToleranceFor(c, epsilon));
      Answer rows;
      ASSERT_TRUE(RunCase<TypeParam>(c, executor, Wanted::kRows, rows).ok()) << test["name"];
      rows.weights = got.weights;
      Compare(test, rows, ToleranceFor(c, epsilon));
    }
  }
  EXPECT_EQ(tried.size(), 31u) << testing::PrintToString(tried);
}

template <typename T>
absl::Status RunGoldenGradients(const json& test, const std::vector<double>& grad_output, runtime::Executor& executor,
                                GradientsByName& got) {
  if (test["inputs"].contains("x")) return RunGradients<T>(golden::ReadTokens(test), grad_output, executor, got);
  return RunGradients<T>(golden::ReadHeads(test), grad_output, executor, got);
}

// The cases' numbers are of order one but for the logits of huge_logits, of up to 1e3: their weights, and so the
// gradients, are good to 1e3 roundings, in a dozen steps each.
TYPED_TEST(AttentionGolden, EveryGradient) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  int compared = 0;
  const json golden = LoadGolden("attention.json");
  for (const json& test : golden["cases"]) {
    const bool huge = test["name"] == "huge_logits";
    const double relative = TestFixture::kRounding * std::numeric_limits<TypeParam>::epsilon() * (huge ? 2000 : 24);
    GradientsByName got;
    const absl::Status done = RunGoldenGradients<TypeParam>(test, ParseTensor(test["grad_output"]).data, executor, got);
    ASSERT_TRUE(done.ok()) << test["name"] << " " << done;
    EXPECT_EQ(got.size(), test["grads"].size()) << test["name"];
    for (const auto& [name, tensor] : test["grads"].items()) {
      const std::vector<double> want = ParseTensor(tensor).data;
      EXPECT_TRUE(AllNear(got[name], want, relative * (Largest(want) + 1))) << test["name"] << " " << name;
      ++compared;
    }
  }
  EXPECT_EQ(compared, 111);
}

}  // namespace
}  // namespace attend::compute
