// exp(t A) B, in steps and through exp(t A), against exp(t A) of quadruple precision.
#include <gtest/gtest.h>

#include <limits>

#include "server/compute/matrix_exp/taylor_action.h"
#include "tests/server/compute/matrix_exp/structured_cases.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class MatrixExpActionTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(MatrixExpActionTest, ElementTypes);

template <typename T>
constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

template <typename T>
std::vector<T> Columns(int64_t count, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> numbers(count);
  for (T& x : numbers) x = static_cast<T>(normal(random));
  return numbers;
}

// Each column's error over |exp| |column|, both in the 1-norm.
template <typename T>
double ColumnError(int64_t n, int64_t p, const T* actual, const QuadMatrix& exponential, const std::vector<T>& b) {
  const double growth = NormOne(n, exponential);
  double worst = 0;
  for (int64_t j = 0; j < p; ++j) {
    double error = 0;
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) {
      Quad expected = 0;
      for (int64_t k = 0; k < n; ++k) expected += exponential[i * n + k] * b[k * p + j];
      error += std::fabs(static_cast<double>(actual[i * p + j] - expected));
      norm += std::fabs(static_cast<double>(b[i * p + j]));
    }
    worst = std::max(worst, error / (growth * norm));
  }
  return worst;
}

TYPED_TEST(MatrixExpActionTest, EveryStructureAgreesWithQuadruplePrecision) {
  bool in_steps = false;
  bool through_exp = false;
  for (Kind kind : kAllKinds) {
    for (const auto& [n, p] : {std::pair<int64_t, int64_t>{1, 3}, {2, 1}, {3, 5}, {17, 1}, {64, 1}, {65, 3}}) {
      for (double scale : {1e-6, 0.3, 3.0, 30.0}) {
        if (n > 17 && scale != 3.0) continue;  // the oracle is slow
        SCOPED_TRACE(NameOf(kind, n, scale) + " p " + std::to_string(p));
        Question<TypeParam> question;
        question.n = n;
        question.a = Structured<TypeParam>(kind, n, scale, static_cast<uint32_t>(n));
        question.times = {1.0, 0.0, 0.5, kind == Kind::kGenerator ? 0.25 : -0.5};
        question.p = p;
        question.b = Columns<TypeParam>(n * p, 1, 3);
        const Outcome<TypeParam> outcome = Solve(question);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        for (size_t k = 0; k < question.times.size(); ++k) {
          if (n > 17 && k < 2) continue;
          const MatrixExpReport& report = outcome.reports[k];
          EXPECT_EQ(report.structure, n == 1 ? MatrixStructure::kDiagonal : StructureOf(kind));
          const QuadMatrix expected = QuadExp(n, ToQuad(question.a.data(), n, question.times[k]), 4);
          const double error = ColumnError(n, p, outcome.result.data() + k * n * p, expected, question.b);
          const double condition = kind == Kind::kUpper || kind == Kind::kLower ? 10 : 1;
          EXPECT_LE(error, 8 * condition * (8 + std::sqrt(n) + report.norm1) * kUnit<TypeParam>) << question.times[k];
          in_steps = in_steps || report.action_products > 0;
          through_exp = through_exp || report.products > 0;
        }
        for (int64_t i = 0; i < n * p; ++i) EXPECT_EQ(outcome.result[n * p + i], question.b[i]);  // time 0
      }
    }
  }
  EXPECT_TRUE(in_steps);
  EXPECT_TRUE(through_exp);
}

TYPED_TEST(MatrixExpActionTest, ReportsHoldForGeneralMatrices) {
  for (double scale : {0.01, 1.0, 8.0}) {
    Question<TypeParam> question{65, Structured<TypeParam>(Kind::kGeneral, 65, scale, 1), {1.0}};
    question.p = 2;
    question.b = Columns<TypeParam>(65 * 2, 1, 8);
    const Outcome<TypeParam> outcome = Solve(question);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    const MatrixExpReport& report = outcome.reports[0];
    EXPECT_GT(report.action_products, 0u);
    EXPECT_EQ(report.products, 0u);
    EXPECT_GE(report.degree * report.squarings, report.action_products);
    const QuadMatrix exponential = QuadExp(65, ToQuad(question.a.data(), 65, 1), 0);
    QuadMatrix expected(65 * 2, 0);
    double error = 0;
    double norm = 0;
    for (int64_t i = 0; i < 65; ++i) {
      for (int64_t k = 0; k < 65; ++k) expected[i] += exponential[i * 65 + k] * question.b[k * 2];
      error += std::fabs(static_cast<double>(outcome.result[i * 2] - expected[i]));
      norm += std::fabs(static_cast<double>(expected[i]));
    }
    EXPECT_LE(error / norm, report.error_bound);
    EXPECT_LE(report.error_bound, 1e6 * kUnit<TypeParam>);
  }
}

// Steps as long as cancellation allows, tried on one column where there are many; with the spectrum to one side (its
// mean is taken off the diagonal, which brings it back), or half of the diagonal moved.
TYPED_TEST(MatrixExpActionTest, LongStepsKeepTheDigits) {
  const int64_t n = 65;
  for (double moved : {0.0, 12.0, -12.0}) {
    for (int64_t p : {1, 9}) {
      Question<TypeParam> question{n, Structured<TypeParam>(Kind::kGeneral, n, 8.0, 3)};
      for (int64_t i = 0; i < n / 2; ++i) question.a[i * n + i] += static_cast<TypeParam>(moved);
      question.p = p;
      question.b = Columns<TypeParam>(n * p, 1, 8);
      const QuadMatrix expected = QuadExp(n, ToQuad(question.a.data(), n, 1), 0);
      runtime::Cancellation cancellation;
      runtime::InlineExecutor executor(cancellation);
      runtime::BufferPool pool;
      TaylorAction action(pool, Matrix<const TypeParam>(question.a.data(), n, n));
      ScaledColumns f(n, p, pool);
      f.LoadFrom(Matrix<const TypeParam>(question.b.data(), n, p));
      ActionReport report;
      ASSERT_TRUE(action.EstimateNorms(executor).ok());
      const ActionPlan plan = action.Plan(1.0);
      ASSERT_TRUE(action.Run(executor, 1.0, f, report).ok());
      std::vector<TypeParam> result(question.b.size());
      ASSERT_TRUE(f.StoreTo(action.a().ShiftBy(1.0), Matrix<TypeParam>(result.data(), n, p)));
      if (moved == 0) {
        EXPECT_LT(static_cast<double>(report.steps), plan.steps) << p;
      }
      const double error = ColumnError(n, p, result.data(), expected, question.b);
      EXPECT_LE(error, 8 * (8 + std::sqrt(n) + action.a().ReportedNorm(1.0)) * kUnit<TypeParam>) << moved << " " << p;
    }
  }
}

// Columns that all but vanish: a long step's terms would hide them, and no trial of the others shows it.
TYPED_TEST(MatrixExpActionTest, ColumnsThatDecayAloneKeepTheirDigits) {
  const int64_t n = 64;
  Question<TypeParam> question{n, std::vector<TypeParam>(n * n, TypeParam{0})};
  // Blocks [-x, 1; -1, -x] and their mirror images with x > 0: the mean of the diagonal is 0.
  for (int64_t i = 0; i < n; i += 2) {
    const auto x = static_cast<TypeParam>(i < n / 2 ? 14 : -14);
    question.a[i * n + i] = question.a[(i + 1) * n + i + 1] = x;
    question.a[i * n + i + 1] = 1;
    question.a[(i + 1) * n + i] = -1;
  }
  question.p = 9;
  question.b.assign(n * 9, TypeParam{0});
  for (int64_t j = 0; j < 9; ++j) question.b[(j == 8 ? n / 2 : 2 * j) * 9 + j] = 1;
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const double expected = std::exp(-14.0) * std::cos(1.0);
  EXPECT_NEAR(static_cast<double>(outcome.result[(n / 2) * 9 + 8]) / expected, 1, 2000 * kUnit<TypeParam>);
}

TYPED_TEST(MatrixExpActionTest, BitsDoNotDependOnThreads) {
  const int64_t n = 300;
  for (int64_t p : {1, 20}) {
    Question<TypeParam> question{n, Structured<TypeParam>(Kind::kGeneral, n, 6.0, 3)};
    question.p = p;
    question.b = Columns<TypeParam>(n * p, 1, 8);
    const Outcome<TypeParam> expected = Solve(question);
    ASSERT_TRUE(expected.status.ok()) << expected.status;
    EXPECT_GT(expected.reports[0].action_products, 0u);
    for (int threads : {1, 2, 3}) {
      ThreadExecutor executor(threads);
      EXPECT_EQ(Solve(executor, question).result, expected.result) << threads;
    }
  }
}

TYPED_TEST(MatrixExpActionTest, ManyTimesShareTheWayAndAreAsAccurateAsAlone) {
  const int64_t n = 64;
  Question<TypeParam> question{n, Structured<TypeParam>(Kind::kGeneral, n, 1.0, 11)};
  question.times = {2.0, 0.5, 1.0, 1.5};
  question.p = 1;
  question.b = Columns<TypeParam>(n, 1, 8);
  const Outcome<TypeParam> together = Solve(question);
  ASSERT_TRUE(together.status.ok()) << together.status;
  uint32_t spent = 0;
  for (size_t k = 0; k < question.times.size(); ++k) {
    spent += together.reports[k].action_products;
    const QuadMatrix expected = QuadExp(n, ToQuad(question.a.data(), n, question.times[k]), 0);
    const double error = ColumnError(n, 1, together.result.data() + k * n, expected, question.b);
    EXPECT_LE(error, 8 * (8 + std::sqrt(n) + together.reports[k].norm1) * kUnit<TypeParam>);
  }
  Question<TypeParam> alone = question;
  uint32_t spent_alone = 0;
  for (double time : question.times) {
    alone.times = {time};
    spent_alone += Solve(alone).reports[0].action_products;
  }
  EXPECT_GT(spent, 0u);
  EXPECT_LT(spent, spent_alone);
}

TYPED_TEST(MatrixExpActionTest, BatchesWithSharedAndOwnColumnsAgree) {
  const int64_t n = 5;
  const int64_t p = 3;
  Question<TypeParam> shared;
  shared.n = n;
  for (double scale : {1e-8, 1.0, 30.0}) {
    const auto a = Structured<TypeParam>(Kind::kGeneral, n, scale, 8);
    shared.a.insert(shared.a.end(), a.begin(), a.end());
  }
  shared.p = p;
  shared.b = Columns<TypeParam>(n * p, 1, 2);
  shared.b_is_shared = true;
  Question<TypeParam> own = shared;
  own.b_is_shared = false;
  for (int copy = 0; copy < 2; ++copy) own.b.insert(own.b.end(), shared.b.begin(), shared.b.end());
  const Outcome<TypeParam> outcome = Solve(shared);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result, Solve(own).result);
  for (int64_t index = 0; index < 3; ++index) {
    Question<TypeParam> alone = shared;
    alone.a.assign(shared.a.begin() + index * n * n, shared.a.begin() + (index + 1) * n * n);
    const std::vector<TypeParam> expected(outcome.result.begin() + index * n * p,
                                          outcome.result.begin() + (index + 1) * n * p);
    EXPECT_EQ(Solve(alone).result, expected) << index;
  }
}

TYPED_TEST(MatrixExpActionTest, ColumnsOfAnyMagnitudeKeepTheirDigits) {
  const double largest = std::numeric_limits<TypeParam>::max() / 1e3;
  const double least = std::numeric_limits<TypeParam>::min() * 1e3;
  const int64_t n = 33;
  Question<TypeParam> question{n, Structured<TypeParam>(Kind::kGeneral, n, 1.0, 5)};
  question.p = 3;
  const auto column = Columns<TypeParam>(n, 1, 1);
  for (int64_t i = 0; i < n; ++i) {
    for (double scale : {largest / 8, 1.0, least}) question.b.push_back(static_cast<TypeParam>(column[i] * scale));
  }
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const QuadMatrix expected = QuadExp(n, ToQuad(question.a.data(), n, 1), 0);
  EXPECT_LE(ColumnError(n, 3, outcome.result.data(), expected, question.b), 200 * kUnit<TypeParam>);
}

TYPED_TEST(MatrixExpActionTest, OverflowIsRefusedAndUnderflowIsZero) {
  std::vector<TypeParam> a(16, TypeParam{-1});
  for (int64_t i = 0; i < 4; ++i) a[i * 5] = TypeParam{-3000};
  a[1] = TypeParam{0.5};
  Question<TypeParam> question{4, a};
  question.p = 1;
  question.b = {1, 2, 3, 4};
  EXPECT_EQ(Solve(question).result, std::vector<TypeParam>(4, TypeParam{0}));
  question.times = {-1.0};
  EXPECT_EQ(Solve(question).status.code(), absl::StatusCode::kOutOfRange);
  for (double time : {1e300, 1e-300}) {
    question.times = {time};
    const Outcome<TypeParam> outcome = Solve(question);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (TypeParam x : outcome.result) EXPECT_TRUE(std::isfinite(x));
  }
}

TYPED_TEST(MatrixExpActionTest, NoColumnsAndNoTimesHaveEmptyResults) {
  Question<TypeParam> question{3, Structured<TypeParam>(Kind::kGeneral, 3, 1.0, 5)};
  question.p = 0;
  EXPECT_TRUE(Solve(question).status.ok());
  question.p = 1;
  question.b = {1, 2, 3};
  question.times = {};
  EXPECT_TRUE(Solve(question).status.ok());
}

// State 0 absorbs, all others go there at rate 1, and to the next: exp(tG) of 0 in state 0 and 1 elsewhere is e^-t.
template <typename T>
Question<T> Decaying(int64_t n, double time) {
  Question<T> question{n, std::vector<T>(n * n, T{0}), {time}};
  for (int64_t i = 1; i < n; ++i) {
    question.a[i * n] = 1;
    question.a[i * n + i] = i + 1 < n ? -2 : -1;
    if (i + 1 < n) question.a[i * n + i + 1] = 1;
  }
  question.p = 1;
  question.b.assign(n, T{1});
  question.b[0] = 0;
  return question;
}

TYPED_TEST(MatrixExpActionTest, GeneratorsKeepTheDigitsOfWhatDecays) {
  for (double time : {0.5, 2.0, 5.0, 40.0, 60.0, 80.0}) {
    for (double sign : {1.0, -1.0}) {
      Question<TypeParam> question = Decaying<TypeParam>(64, time);
      for (TypeParam& x : question.b) x *= static_cast<TypeParam>(sign);
      const Outcome<TypeParam> outcome = Solve(question);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      double error = 0;
      for (int64_t i = 1; i < 64; ++i) {
        error = std::max(error, std::fabs(outcome.result[i] / (sign * std::exp(-time)) - 1));
      }
      // 4 units of 16 times the result, or the product's 64 terms.
      EXPECT_LE(error, 64 * kUnit<TypeParam>) << time;
      EXPECT_LE(error, outcome.reports[0].error_bound) << time;
      EXPECT_LE(outcome.reports[0].error_bound, 200 * kUnit<TypeParam>) << time;
    }
  }
}

TYPED_TEST(MatrixExpActionTest, GeneratorsKeepTheDigitsOfSignedColumnsToo) {
  Question<TypeParam> question = Decaying<TypeParam>(64, 40);
  for (int64_t i = 1; i < 64; i += 2) question.b[i] = -2;
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const QuadMatrix exponential = QuadExp(64, QuadGenerator(64, question.a, 40), 4);
  double error = 0;
  double norm = 0;
  for (int64_t i = 0; i < 64; ++i) {
    Quad expected = 0;
    for (int64_t k = 0; k < 64; ++k) expected += exponential[i * 64 + k] * question.b[k];
    error += std::fabs(static_cast<double>(outcome.result[i] - expected));
    norm += std::fabs(static_cast<double>(expected));
  }
  EXPECT_LE(error / norm, outcome.reports[0].error_bound);
  EXPECT_LE(outcome.reports[0].error_bound, 1000 * kUnit<TypeParam>);
}

TYPED_TEST(MatrixExpActionTest, AVanishedResultIsNotCalledExact) {
  const Outcome<TypeParam> outcome = Solve(Decaying<TypeParam>(64, 2000));
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.result, std::vector<TypeParam>(64, TypeParam{0}));
  EXPECT_GE(outcome.reports[0].error_bound, 1);
}

TYPED_TEST(MatrixExpActionTest, GeneratorsThatMixStayWithProductsOfColumns) {
  Question<TypeParam> question{65, Structured<TypeParam>(Kind::kGenerator, 65, 3.0, 7)};
  question.p = 1;
  question.b = Columns<TypeParam>(65, 1, 5);
  const Outcome<TypeParam> outcome = Solve(question);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_GT(outcome.reports[0].action_products, 0u);
}

// exp(a) b's relative error in the 1-norm.
template <typename T>
double ActionError(const Question<T>& question, const std::vector<T>& result) {
  const int64_t n = question.n;
  const QuadMatrix exponential = QuadExp(n, ToQuad(question.a.data(), n, 1), 0);
  double error = 0;
  double norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    Quad expected = 0;
    for (int64_t k = 0; k < n; ++k) expected += exponential[i * n + k] * question.b[k];
    error += std::fabs(static_cast<double>(result[i] - expected));
    norm += std::fabs(static_cast<double>(expected));
  }
  return error / norm;
}

TYPED_TEST(MatrixExpActionTest, BoundsHoldWhereOtherColumnsGrowFarMore) {
  for (int64_t n : {5, 17, 33}) {
    for (double top : {1.0, 10.0, 20.0, 40.0}) {
      // H diag(top, ...) H with the reflection H = I - 2 v v^T / n, v = (1, ..., 1): eigenvectors are its columns.
      Question<TypeParam> question{n, std::vector<TypeParam>(n * n), {1.0}};
      const auto h = [n](int64_t i, int64_t j) { return (i == j ? 1 : 0) - 2.0 / static_cast<double>(n); };
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < n; ++k) {
            sum += h(i, k) * h(j, k) * (k == 0 ? top : std::cos(static_cast<double>(k)));
          }
          question.a[i * n + j] = question.a[j * n + i] = static_cast<TypeParam>(sum);
        }
      }
      question.p = 1;
      for (int64_t i = 0; i < n; ++i) question.b.push_back(static_cast<TypeParam>(h(i, 1)));
      question.structure = MatrixStructure::kSymmetric;
      const Outcome<TypeParam> outcome = Solve(question);
      ASSERT_TRUE(outcome.status.ok()) << outcome.status;
      EXPECT_LE(ActionError(question, outcome.result), outcome.reports[0].error_bound) << n << " " << top;
      if (top == 1) {
        EXPECT_LE(outcome.reports[0].error_bound, 1000 * kUnit<TypeParam>);
      }
    }
  }
}

// u v^T with v at right angles to u but for rounding: powers cancel, and what their products round to shows in none.
TYPED_TEST(MatrixExpActionTest, BoundsCoverPowersThatCancel) {
  bool in_steps = false;
  for (int64_t n : {2, 3, 17, 33}) {
    for (double norm : {100.0, 1450.0, 1e5, 7e5}) {
      // Beyond, what rounding to FLOAT32 leaves of A^2 makes exp overflow.
      if (norm > 1450 && std::numeric_limits<TypeParam>::digits == 24) continue;
      for (uint32_t seed = 1; seed <= 5; ++seed) {
        std::vector<double> u = Columns<double>(n, 1, seed), v = Columns<double>(n, 1, seed + 40);
        double product = 0, square = 0;
        for (int64_t i = 0; i < n; ++i) product += u[i] * v[i], square += u[i] * u[i];
        std::vector<double> a(n * n);
        for (int64_t i = 0; i < n; ++i) v[i] -= product / square * u[i];
        for (int64_t k = 0; k < n * n; ++k) a[k] = u[k / n] * v[k % n];
        const double scale = norm / NormOne(n, a);
        Question<TypeParam> question{n, std::vector<TypeParam>(n * n), {1.0}};
        for (int64_t k = 0; k < n * n; ++k) question.a[k] = static_cast<TypeParam>(a[k] * scale);
        question.structure = MatrixStructure::kGeneral;
        question.p = 1;
        question.b = Columns<TypeParam>(n, 1, seed + 80);
        const Outcome<TypeParam> outcome = Solve(question);
        ASSERT_TRUE(outcome.status.ok()) << outcome.status;
        in_steps = in_steps || outcome.reports[0].action_products > 0;
        EXPECT_LE(ActionError(question, outcome.result), outcome.reports[0].error_bound)
            << n << " norm " << norm << " seed " << seed << " in steps " << outcome.reports[0].action_products;
      }
    }
  }
  EXPECT_TRUE(in_steps);
}

TYPED_TEST(MatrixExpActionTest, EigenvaluesThatColumnsDoNotMeetDoNotOverflow) {
  for (double top : {50.0, 800.0, 20000.0}) {
    Question<TypeParam> question{3, {static_cast<TypeParam>(top), 0, 0, 0, -1, 0.5, 0, 0.5, -1}, {1.0}};
    question.p = 1;
    question.b = {0, 1, 1};
    const Outcome<TypeParam> outcome = Solve(question);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.result[0], 0);
    for (int i : {1, 2}) {
      const double error = std::fabs(outcome.result[i] / std::exp(-0.5) - 1);
      EXPECT_LE(error, outcome.reports[0].error_bound) << top;
      EXPECT_LE(error, 8 * kUnit<double> * top + kUnit<TypeParam>) << top;
    }
  }
}

TYPED_TEST(MatrixExpActionTest, StopsWhenCancelled) {
  runtime::Cancellation cancellation;
  cancellation.Cancel();
  runtime::InlineExecutor executor(cancellation);
  for (int64_t n : {5, 300}) {
    for (Kind kind : {Kind::kGeneral, Kind::kSymmetric, Kind::kSkew}) {
      Question<TypeParam> question{n, Structured<TypeParam>(kind, n, 1.0, 5)};
      EXPECT_EQ(Solve(executor, question).status.code(), absl::StatusCode::kCancelled);
      question.p = 2;
      question.b = Columns<TypeParam>(n * 2, 1, 1);
      EXPECT_EQ(Solve(executor, question).status.code(), absl::StatusCode::kCancelled);
    }
  }
}

}  // namespace
}  // namespace attend::compute
