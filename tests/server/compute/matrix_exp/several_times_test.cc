// Several times in one call: they share work, and each gets the bits that it has alone.
#include <gtest/gtest.h>

#include <string>

#include "tests/server/compute/matrix_exp/generator_cases.h"
#include "tests/server/compute/matrix_exp/structured_cases.h"

namespace attend::compute {
namespace {

template <typename T>
class SeveralTimesTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(SeveralTimesTest, ElementTypes);

template <typename T>
Outcome<T> AtTime(Question<T> question, double time) {
  question.times = {time};
  return Solve(question);
}

// Times apart by powers of two and others; one that squarings settle before; a repeated one; small ones.
const std::vector<double> kTimes = {3, 1, 1e6, 4, 0, 0.37, 2, 1e-3, 6, 1, 2e9, 0.74, 1e300};

template <typename T>
Question<T> GeneratorQuestion(int64_t n, std::vector<T> rates) {
  for (int64_t i = 0; i < n; ++i) rates[i * n + i] = 0;
  Question<T> question{n, std::move(rates), kTimes, MatrixStructure::kGenerator};
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += static_cast<double>(question.a[i * n + j]);
    question.a[i * n + i] = static_cast<T>(-sum);
  }
  return question;
}

template <typename T>
void ExpectAsAlone(const Question<T>& question, const std::string& what) {
  const Outcome<T> together = Solve(question);
  ASSERT_TRUE(together.status.ok()) << what << ": " << together.status;
  const size_t size = question.n * question.n;
  uint32_t spent = 0;
  uint32_t spent_alone = 0;
  for (size_t k = 0; k < question.times.size(); ++k) {
    const Outcome<T> alone = AtTime(question, question.times[k]);
    size_t different = 0;
    for (size_t i = 0; i < size; ++i) different += together.result[k * size + i] != alone.result[i];
    EXPECT_EQ(different, 0u) << what << ": time " << question.times[k];
    EXPECT_EQ(together.reports[k].error_bound, alone.reports[0].error_bound) << what;
    EXPECT_EQ(together.reports[k].norm1, alone.reports[0].norm1) << what;
    EXPECT_EQ(together.reports[k].degree, alone.reports[0].degree) << what;
    EXPECT_EQ(together.reports[k].row_sum_error, alone.reports[0].row_sum_error) << what;
    spent += together.reports[k].products;
    spent_alone += alone.reports[0].products;
  }
  EXPECT_LT(spent, spent_alone) << what;
}

TYPED_TEST(SeveralTimesTest, GeneratorsKeepTheBitsOfEachAloneAndSpendLess) {
  for (int64_t n : {2, 3, 17, 65, 129}) {
    const auto seed = static_cast<uint32_t>(n);
    ExpectAsAlone(GeneratorQuestion(n, DenseGenerator<TypeParam>(n, 1.0, seed)), "dense " + std::to_string(n));
    ExpectAsAlone(GeneratorQuestion(n, StiffSparseGenerator<TypeParam>(n, 0.3, seed)), "stiff " + std::to_string(n));
    ExpectAsAlone(GeneratorQuestion(n, Chain<TypeParam>(n)), "chain " + std::to_string(n));
  }
}

TYPED_TEST(SeveralTimesTest, PowersOfTwoApartAreSquaredOn) {
  Question<TypeParam> question = GeneratorQuestion(65, DenseGenerator<TypeParam>(65, 1.0, 7));
  question.times = {4, 1, 2};
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_GT(outcome.reports[1].products, 4u);
  EXPECT_EQ(outcome.reports[2].products, 1u);
  EXPECT_EQ(outcome.reports[2].squarings, 1u);
  EXPECT_EQ(outcome.reports[0].products, 1u);
}

TYPED_TEST(SeveralTimesTest, RepeatedTimesAreCopied) {
  const int64_t n = 150;  // beyond what is computed in the cache
  for (Kind kind : kAllKinds) {
    for (int64_t p : {-1, 1}) {
      SCOPED_TRACE(NameOf(kind, n, 1) + " p " + std::to_string(p));
      Question<TypeParam> question{n, Structured<TypeParam>(kind, n, 1.0, 3), {2.0, 2.0, 1.0, 2.0}};
      question.p = p;
      if (p > 0) question.b = Normal<TypeParam>(n, 1.0, 8);
      const Outcome<TypeParam> outcome = Solve(question);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      const int64_t size = n * question.cols();
      const MatrixExpReport& first = outcome.reports[0];
      for (int64_t k : {1, 3}) {
        for (int64_t i = 0; i < size; ++i) ASSERT_EQ(outcome.result[k * size + i], outcome.result[i]);
        const MatrixExpReport& copy = outcome.reports[k];
        EXPECT_EQ(copy.products + copy.action_products + copy.squarings, 0u);
        EXPECT_EQ(copy.degree, first.degree);
        EXPECT_EQ(copy.structure, first.structure);
        EXPECT_EQ(copy.norm1, first.norm1);
        EXPECT_EQ(copy.error_bound, first.error_bound);
      }
    }
  }
}

TYPED_TEST(SeveralTimesTest, StepsOfTheActionCountFromTheTimeBefore) {
  const int64_t n = 64;
  Question<TypeParam> question{n, Structured<TypeParam>(Kind::kGeneral, n, 8.0, 11), {4.0, 1.0, 2.0}};
  question.p = 1;
  question.b = Normal<TypeParam>(n, 1.0, 8);
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  // Each takes as many products as its own steps of its degree allow, and one step at least.
  for (const MatrixExpReport& report : outcome.reports) {
    EXPECT_GE(report.squarings, 1u);
    EXPECT_GE(report.degree * report.squarings, report.action_products);
  }
  // From 2 to 4 it is twice as far as from 1 to 2: about twice the steps, not those from 0 on.
  EXPECT_LE(outcome.reports[0].squarings, 2 * outcome.reports[2].squarings + 1);
}

TYPED_TEST(SeveralTimesTest, NormsAreSummedInDouble) {
  // Column sums that float rounds.
  for (int64_t n : {5, 40, 130}) {
    Question<TypeParam> question{n, std::vector<TypeParam>(n * n, TypeParam{1} / 8), {1.0, 0.25}};
    for (int64_t i = 0; i < n; ++i) question.a[i * n + (i + 1) % n] = static_cast<TypeParam>(1.0f / 3);
    question.a[1] += TypeParam{1} / 1024;
    double norm = 0;
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += std::fabs(static_cast<double>(question.a[i * n + j]));
      norm = std::max(norm, sum);
    }
    const Outcome<TypeParam> outcome = Solve(question);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    // n additions of double.
    for (int k : {0, 1}) {
      EXPECT_NEAR(outcome.reports[k].norm1, norm * question.times[k], norm * static_cast<double>(n) * 0x1p-52);
    }
  }
}

TYPED_TEST(SeveralTimesTest, EmptyMatricesHaveReports) {
  Question<TypeParam> question{0, {}, {1.0, 2.0}};
  EXPECT_EQ(Solve(question).reports.size(), 2u);
  question.structure = MatrixStructure::kGenerator;
  EXPECT_EQ(Solve(question).reports[1].structure, MatrixStructure::kGenerator);
}

}  // namespace
}  // namespace attend::compute
