#include "server/compute/matrix_exp/matrix_exp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "server/runtime/cancellation.h"
#include "tests/server/compute/matrix_exp/exponentiate.h"

namespace attend::compute {
namespace {

using runtime::Cancellation;
using runtime::InlineExecutor;
using testing::HasSubstr;

template <typename T>
class MatrixExpTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(MatrixExpTest, ElementTypes);

template <typename T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

TYPED_TEST(MatrixExpTest, AllSizesAndNormsAgreeWithQuadruplePrecision) {
  for (int64_t n : {2, 3, 5, 8, 9, 17, 64, 65}) {
    for (double scale : {1e-9, 1e-3, 0.1, 1.0, 5.0, 20.0}) {
      const std::vector<TypeParam> a = Normal<TypeParam>(n, scale, static_cast<uint32_t>(n));
      const Outcome<TypeParam> outcome = Exponentiate(n, a);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const double error = RelativeError(n, outcome.result.data(), QuadExp(n, ToQuad(a.data(), n, 1), 0));
      // The condition of exp at a random matrix is about its norm, times at most the departure from normality (< 4
      // here); sums of n terms add sqrt(n) units.
      const double tolerance = 4 * (4 + std::sqrt(n) + outcome.reports[0].norm1) * kUnit<TypeParam>;
      EXPECT_LE(error, tolerance) << "n " << n << " scale " << scale;
      EXPECT_LE(error, outcome.reports[0].error_bound) << "n " << n << " scale " << scale;
      EXPECT_LE(outcome.reports[0].error_bound, 3000 * tolerance) << "n " << n << " scale " << scale;
    }
  }
}

TYPED_TEST(MatrixExpTest, SeveralTilesOfOneMatrixAgreeWithQuadruplePrecision) {
  const int64_t n = 300;  // above the size that is one tile; products have two tiles. Block diagonal for the oracle.
  const int64_t block = 3;
  std::vector<TypeParam> a(n * n, TypeParam{0});
  for (int64_t begin = 0; begin < n; begin += block) {
    const auto entries = Normal<TypeParam>(block, 1.0, static_cast<uint32_t>(begin));
    for (int64_t k = 0; k < block * block; ++k) a[(begin + k / block) * n + begin + k % block] = entries[k];
  }
  const Outcome<TypeParam> outcome = Exponentiate(n, a);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (int64_t begin = 0; begin < n; begin += block) {
    std::vector<TypeParam> in(block * block), out(block * block);
    for (int64_t k = 0; k < block * block; ++k) {
      in[k] = a[(begin + k / block) * n + begin + k % block];
      out[k] = outcome.result[(begin + k / block) * n + begin + k % block];
    }
    EXPECT_LE(RelativeError(block, out.data(), QuadExp(block, ToQuad(in.data(), block, 1), 0)), 40 * kUnit<TypeParam>);
  }
  EXPECT_EQ(outcome.result[n - 1], 0);
}

TYPED_TEST(MatrixExpTest, EachTimeIsAsAccurateAsAlone) {
  const int64_t n = 17;
  const std::vector<TypeParam> a = Normal<TypeParam>(n, 1.0, 4);
  const std::vector<double> times = {0.0, 1e-8, 0.25, 1.0, 3.0, -1.0, 10.0};
  const Outcome<TypeParam> outcome = Exponentiate(n, a, times);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  for (size_t k = 0; k < times.size(); ++k) {
    const QuadMatrix expected = QuadExp(n, ToQuad(a.data(), n, times[k]), 0);
    const double tolerance = 4 * (8 + NormOne(n, a) * std::fabs(times[k])) * kUnit<TypeParam>;
    EXPECT_LE(RelativeError(n, outcome.result.data() + k * n * n, expected), tolerance) << "time " << times[k];
  }
  EXPECT_EQ(outcome.reports[0].products, 0u);
}

TYPED_TEST(MatrixExpTest, BatchOfVeryDifferentNormsGivesTheBitsOfEachAlone) {
  const int64_t n = 5;
  std::vector<TypeParam> a;
  for (double scale : {1e-30, 1e-3, 1.0, 30.0}) {
    const auto one = Normal<TypeParam>(n, scale, 9);
    a.insert(a.end(), one.begin(), one.end());
  }
  a.insert(a.end(), n * n, TypeParam{0});
  const std::vector<double> times = {1.0, 0.5};
  const Outcome<TypeParam> together = Exponentiate(n, a, times);
  ASSERT_TRUE(together.status.ok()) << together.status;
  for (size_t index = 0; index < 5; ++index) {
    const Outcome<TypeParam> alone =
        Exponentiate(n, std::vector<TypeParam>(a.begin() + index * n * n, a.begin() + (index + 1) * n * n), times);
    for (size_t k = 0; k < times.size(); ++k) {
      for (int64_t e = 0; e < n * n; ++e) {
        EXPECT_EQ(together.result[(k * 5 + index) * n * n + e], alone.result[k * n * n + e]);
      }
    }
  }
}

// Tiles in reverse order, handed to several workers: results must not notice.
class BackwardsExecutor final : public runtime::Executor {
 public:
  absl::Status ForEachTile(int64_t tiles, double tile_flops,
                           absl::FunctionRef<absl::Status(int64_t, int)> tile) override {
    for (int64_t index = tiles - 1; index >= 0; --index) {
      if (auto done = tile(index, static_cast<int>(index % max_workers())); !done.ok()) return done;
    }
    return absl::OkStatus();
  }
  int max_workers() const override { return 3; }
  const Cancellation& cancellation() const override { return cancellation_; }

 private:
  Cancellation cancellation_;
};

TYPED_TEST(MatrixExpTest, BitsDoNotDependOnTheOrderOfTiles) {
  BackwardsExecutor backwards;
  for (int64_t n : {3, 64, 300}) {
    std::vector<TypeParam> a = Normal<TypeParam>(n, 2.0, 8);
    const auto generator = a.size();
    a.resize(2 * a.size());
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        if (i == j) continue;
        a[generator + i * n + j] = i == j + 1 ? 2 : 0;
        if (i == j + 1) a[generator + i * n + i] = -2;
      }
    }
    const Outcome<TypeParam> forwards = Exponentiate(n, a);
    ASSERT_TRUE(forwards.status.ok()) << forwards.status;
    EXPECT_EQ(forwards.reports[1].structure, MatrixStructure::kGenerator);
    EXPECT_EQ(forwards.result, ExponentiateOn(backwards, n, a).result) << n;
  }
}

TYPED_TEST(MatrixExpTest, EmptyAndScalar) {
  EXPECT_TRUE(Exponentiate(0, std::vector<TypeParam>{}).status.ok());
  for (double x : {0.0, 1.0, -1.0, 2.5, -80.0, 80.0, 1e-12}) {
    const auto value = static_cast<TypeParam>(x);
    const Outcome<TypeParam> outcome = Exponentiate(1, std::vector<TypeParam>{value}, {1.0, 1e-3});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (int k = 0; k < 2; ++k) {
      const double expected = std::exp(static_cast<double>(value) * (k == 0 ? 1 : 1e-3));
      EXPECT_NEAR(outcome.result[k], expected, 2 * kUnit<TypeParam> * expected) << x;
    }
  }
  EXPECT_EQ(Exponentiate(1, std::vector<TypeParam>{TypeParam{1000}}).status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Exponentiate(1, std::vector<TypeParam>{std::numeric_limits<TypeParam>::lowest()}, {1e300}).result[0], 0);
}

TYPED_TEST(MatrixExpTest, OverflowNamesTheNormAndTheMatrix) {
  std::vector<TypeParam> a(2 * 9, TypeParam{0});
  for (int64_t k = 9; k < 18; ++k) a[k] = 1000;
  const Outcome<TypeParam> outcome = Exponentiate(3, a);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("matrix 1"));
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("norm 3000"));
}

TYPED_TEST(MatrixExpTest, AnyFiniteInputEndsWithoutNaN) {
  const double largest = std::numeric_limits<TypeParam>::max();
  const double least = std::numeric_limits<TypeParam>::denorm_min();
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  for (int64_t n : {2, 3, 8}) {
    for (double scale : {largest, largest / 1e8, 1e30, 1e10, 1e3, 1e-30, least}) {
      for (double time : {1.0, -1.0, 1e308, 1e-308, 5e-324}) {
        for (int kind = 0; kind < 5; ++kind) {
          std::vector<TypeParam> a(n * n);
          for (int64_t k = 0; k < n * n; ++k) {
            const bool upper = k % n > k / n;
            const double x = uniform(random);
            const double mixed = x * std::pow(10, 300 * uniform(random) - 300);
            const double values[] = {x, upper ? 1.0 : 0.0, k % n == k / n ? -1.0 : 0.0, x > 0.5 ? x : 0, mixed};
            a[k] = static_cast<TypeParam>(values[kind] * scale);
          }
          const Outcome<TypeParam> outcome = Exponentiate(n, a, {time});
          const std::string what = "n " + std::to_string(n) + " scale " + std::to_string(scale) + " time " +
                                   std::to_string(time) + " kind " + std::to_string(kind);
          if (!outcome.status.ok()) {
            EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange) << what << outcome.status;
            continue;
          }
          for (TypeParam x : outcome.result) ASSERT_TRUE(std::isfinite(x)) << what;
          ASSERT_FALSE(std::isnan(outcome.reports[0].error_bound)) << what;
          ASSERT_TRUE(std::isfinite(outcome.reports[0].norm1)) << what;
        }
      }
    }
  }
}

TYPED_TEST(MatrixExpTest, NilpotentIsNotOverscaled) {
  for (double x : {1.0, 1e6, 1e30}) {
    const auto value = static_cast<TypeParam>(x);
    const Outcome<TypeParam> outcome = Exponentiate(2, std::vector<TypeParam>{0, value, 0, 0});
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.result, (std::vector<TypeParam>{1, value, 0, 1}));
    EXPECT_LE(outcome.reports[0].squarings, x <= 1e6 ? 0u : 100u);
  }
}

TYPED_TEST(MatrixExpTest, UnderflowGivesZero) {
  std::vector<TypeParam> a(9, TypeParam{0});
  for (int64_t i = 0; i < 3; ++i) a[i * 3 + i] = std::numeric_limits<TypeParam>::lowest();
  a[1] = 1;
  const Outcome<TypeParam> outcome = Exponentiate(3, a);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result, std::vector<TypeParam>(9, TypeParam{0}));
}

// Where growth and shift are far beyond the exponents of any number.
template <typename T>
std::vector<int> HugeExponents() {
  if constexpr (std::is_same_v<T, float>) return {50, 53, 60, 100, 126};
  return {50, 53, 57, 60, 61, 100, 126, 500, 1000, 1022};
}

template <typename T>
std::vector<Question<T>> HugeQuestions(const std::vector<double>& a, int exponent) {
  std::vector<T> scaled(a.size());
  for (size_t k = 0; k < a.size(); ++k) scaled[k] = static_cast<T>(std::ldexp(a[k], exponent));
  Question<T> whole{2, scaled};
  whole.structure = MatrixStructure::kGeneral;
  Question<T> action = whole;
  action.p = 1;
  action.b = {1, 1};
  return {whole, action};
}

TYPED_TEST(MatrixExpTest, GrowthOutweighsANegativeTraceAtAnyNorm) {
  for (int exponent : HugeExponents<TypeParam>()) {
    for (const auto& question : HugeQuestions<TypeParam>({1, -1, .1, -1.7}, exponent)) {  // eigenvalues 0.96 and -1.66
      EXPECT_EQ(Solve(question).status.code(), absl::StatusCode::kOutOfRange) << exponent << " p " << question.p;
    }
  }
}

TYPED_TEST(MatrixExpTest, DecayOutweighsGrowthBesideTheTraceAtAnyNorm) {
  for (int exponent : HugeExponents<TypeParam>()) {
    for (const auto& question : HugeQuestions<TypeParam>({-1, .5, .1, -1.7}, exponent)) {
      const Outcome<TypeParam> outcome = Solve(question);
      ASSERT_TRUE(outcome.status.ok()) << exponent << outcome.status;
      EXPECT_EQ(outcome.result, std::vector<TypeParam>(outcome.result.size(), TypeParam{0})) << exponent;
    }
  }
}

// Eigenvalues 0 and -1.75: exp is finite and not zero, but its exponent drowns in rounding.
TYPED_TEST(MatrixExpTest, WhatRoundingHidesIsNotAnsweredWithZero) {
  for (int exponent : {90, 120}) {
    for (const auto& question : HugeQuestions<TypeParam>({-.75, .75, 1, -1}, exponent)) {
      const Outcome<TypeParam> outcome = Solve(question);
      if (!outcome.status.ok()) {
        EXPECT_EQ(outcome.status.code(), absl::StatusCode::kOutOfRange);
        continue;
      }
      EXPECT_NE(outcome.result, std::vector<TypeParam>(outcome.result.size(), TypeParam{0})) << exponent;
    }
  }
}

TYPED_TEST(MatrixExpTest, StopsWhenCancelled) {
  Cancellation cancellation;
  cancellation.Cancel();
  InlineExecutor executor(cancellation);
  EXPECT_EQ(ExponentiateOn(executor, 3, Normal<TypeParam>(3, 1, 1)).status.code(), absl::StatusCode::kCancelled);
}

TYPED_TEST(MatrixExpTest, FlopsAndWorkspaceAreCounted) {
  const Outcome<TypeParam> outcome = Exponentiate(5, Normal<TypeParam>(5, 1, 1));
  EXPECT_EQ(MatrixExpFlops(5, 5, outcome.reports), outcome.reports[0].products * 250.0);
  MatrixExpProblem<TypeParam> problem;
  problem.n = int64_t{1} << 40;
  problem.batch = 1;
  problem.times = {1.0};
  EXPECT_GT(MatrixExpWorkspaceBytes(problem, 2), 1e24);
}

}  // namespace
}  // namespace attend::compute
