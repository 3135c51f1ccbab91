#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/golden/golden.h"
#include "tests/server/compute/matrix_exp/exponentiate.h"

namespace attend::compute {
namespace {

// 10 times condition times unit roundoff; 1e-15 (f32: 10 units) where the condition is below 1.
double CorpusTolerance(double condition, double unit) { return 10 * std::max(condition, 0.9) * unit; }

TEST(MatrixExpGolden, CorpusInDouble) {
  const nlohmann::json corpus = golden::LoadGolden("expm_corpus.json");
  ASSERT_EQ(corpus["cases"].size(), 34u);
  for (const auto& c : corpus["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const auto n = c["n"].get<int64_t>();
    const auto a = c["a"].get<std::vector<double>>();
    const auto expected = c["exp"].get<std::vector<double>>();
    const Outcome<double> outcome = Exponentiate(n, a);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const double error = RelativeError(n, outcome.result.data(), expected);
    if (c["cond"].is_null()) {
      // exp(-745) is the least denormal: nothing but itself is close.
      EXPECT_EQ(outcome.result, expected);
    } else {
      EXPECT_LE(error, CorpusTolerance(c["cond"].get<double>(), 1.1e-16));
    }
    // The expected values are rounded themselves.
    EXPECT_LE(error, outcome.reports[0].error_bound + 1.2e-16);
  }
}

TEST(MatrixExpGolden, CorpusInDoubleAsGeneral) {
  const nlohmann::json corpus = golden::LoadGolden("expm_corpus.json");
  ASSERT_EQ(corpus["cases"].size(), 34u);
  for (const auto& c : corpus["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const auto n = c["n"].get<int64_t>();
    const auto expected = c["exp"].get<std::vector<double>>();
    const Outcome<double> outcome =
        Exponentiate(n, c["a"].get<std::vector<double>>(), {1.0}, MatrixStructure::kGeneral);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const double error = RelativeError(n, outcome.result.data(), expected);
    EXPECT_EQ(outcome.reports[0].structure, MatrixStructure::kGeneral);
    EXPECT_LE(error, c["cond"].is_null() ? 0 : CorpusTolerance(c["cond"].get<double>(), 1.1e-16));
    EXPECT_LE(error, outcome.reports[0].error_bound + 1.2e-16);
  }
}

TEST(MatrixExpGolden, CorpusInFloat) {
  const nlohmann::json corpus = golden::LoadGolden("expm_corpus.json");
  ASSERT_EQ(corpus["cases"].size(), 34u);
  for (const auto& c : corpus["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const auto n = c["n"].get<int64_t>();
    const auto wide = c["a"].get<std::vector<double>>();
    const std::vector<float> a(wide.begin(), wide.end());
    // Of the rounded matrix: rounding it is the caller's error.
    const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, 1), 0);
    const Outcome<float> outcome = Exponentiate(n, a);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    if (c["cond"].is_null()) {
      EXPECT_EQ(outcome.result[0], 0.0f);
      continue;
    }
    const double error = RelativeError(n, outcome.result.data(), expected);
    EXPECT_LE(error, CorpusTolerance(c["cond"].get<double>(), 0x1p-24));
    EXPECT_LE(error, outcome.reports[0].error_bound + 0x1p-24);
  }
}

TEST(MatrixExpGolden, PyTorchCases) {
  const nlohmann::json cases = golden::LoadGolden("expm_project.json")["matrix_exp"];
  ASSERT_FALSE(cases.empty());
  for (const auto& c : cases) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const golden::GoldenTensor a = golden::ParseTensor(c["a"]);
    const golden::GoldenTensor expected = golden::ParseTensor(c["exp"]);
    const int64_t n = a.shape.back();
    const Outcome<double> outcome = Exponentiate(n, a.data);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (size_t begin = 0; begin < a.data.size(); begin += static_cast<size_t>(n * n)) {
      const std::vector<double> one(expected.data.begin() + begin, expected.data.begin() + begin + n * n);
      // Norms of these matrices are below 10, and PyTorch rounds as well.
      EXPECT_LE(RelativeError(n, outcome.result.data() + begin, one), 100 * 1.1e-16);
    }
  }
}

}  // namespace
}  // namespace attend::compute
