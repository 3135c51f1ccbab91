#include "server/compute/project/algebra.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/runtime/cancellation.h"
#include "tests/server/compute/project/project_test_util.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

using Target = AlgebraTarget;
constexpr Target kAll[] = {Target::kGenerator,     Target::kZeroRowSum, Target::kZeroRowSumDiagonal,
                           Target::kSkewSymmetric, Target::kSymmetric,  Target::kTraceless};
constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65, 129};
using Quad = __float128;

Quad Abs(Quad x) { return x < 0 ? -x : x; }

// c with m_i - c + sum max(0, m_j - c) = 0, by bisection: nothing in common with the sorted cut.
Quad GeneratorShift(const std::vector<Quad>& row, int64_t diagonal) {
  Quad low = *std::min_element(row.begin(), row.end()), high = *std::max_element(row.begin(), row.end());
  for (int step = 0; step < 200; ++step) {
    const Quad c = (low + high) / 2;
    Quad f = row[diagonal] - c;
    for (size_t j = 0; j < row.size(); ++j) {
      if (static_cast<int64_t>(j) != diagonal && row[j] > c) f += row[j] - c;
    }
    (f > 0 ? low : high) = c;
  }
  return (low + high) / 2;
}

// One matrix [n, n], in quadruple precision from the definitions.
std::vector<Quad> Expected(Target target, const std::vector<Quad>& m, int64_t n) {
  std::vector<Quad> p = m;
  Quad trace = 0;
  for (int64_t i = 0; i < n; ++i) trace += m[i * n + i];
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<Quad> row(m.begin() + i * n, m.begin() + (i + 1) * n);
    Quad sum = 0;
    for (Quad x : row) sum += x;
    const Quad c = target == Target::kGenerator ? GeneratorShift(row, i) : 0;
    for (int64_t j = 0; j < n; ++j) {
      Quad& x = p[i * n + j];
      const Quad mirrored = m[j * n + i];
      if (target == Target::kGenerator) x = j == i || x > c ? x - c : 0;
      if (target == Target::kZeroRowSum) x -= sum / n;
      if (target == Target::kZeroRowSumDiagonal && i == j) x -= sum;
      if (target == Target::kSkewSymmetric) x = (x - mirrored) / 2;
      if (target == Target::kSymmetric) x = (x + mirrored) / 2;
      if (target == Target::kTraceless && i == j) x -= trace / n;
    }
  }
  return p;
}

double UlpOf(double magnitude, double epsilon) {
  return magnitude == 0 ? 0 : std::ldexp(epsilon, std::ilogb(magnitude));
}

template <typename T>
class Algebra : public testing::Test {
 protected:
  static constexpr double kEpsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

  absl::Status Project(Target target, int64_t batch, int64_t n, const std::vector<T>& m, std::vector<T>& output) {
    output.assign(m.size(), T{-7});
    return AlgebraProjection(executor_, pool_, {target, batch, n, m.data()}, output.data(), reports_);
  }

  // Against the definition, and all that the header promises, for one matrix.
  void Check(Target target, int64_t n, const std::vector<T>& m, const std::string& what) {
    SCOPED_TRACE(what + ", target " + std::to_string(static_cast<int>(target)) + ", n " + std::to_string(n));
    std::vector<T> output;
    ASSERT_TRUE(Project(target, 1, n, m, output).ok());
    const std::vector<Quad> exact = Expected(target, {m.begin(), m.end()}, n);
    Quad square = 0;
    for (int64_t i = 0; i < n; ++i) {
      double largest = 0, sum_of_magnitudes = 0;
      for (int64_t j = 0; j < n; ++j) {
        largest = std::max(largest, static_cast<double>(std::abs(m[i * n + j])));
        sum_of_magnitudes += static_cast<double>(std::abs(output[i * n + j]));
      }
      for (int64_t j = 0; j < n; ++j) {
        const Quad got = output[i * n + j];
        // One rounding and the unit that settles the sum; a diagonal that balances its row takes over the row's
        // roundings.
        const double tolerance = kEpsilon * (2 * largest + (i == j ? sum_of_magnitudes : 0));
        EXPECT_LE(static_cast<double>(Abs(got - exact[i * n + j])), tolerance) << i << ", " << j;
        square += (got - Quad(m[i * n + j])) * (got - Quad(m[i * n + j]));
      }
    }
    CheckSums(target, n, output);
    const double distance = std::sqrt(static_cast<double>(square));
    EXPECT_NEAR(reports_[0].distance, distance, 1e-14 * static_cast<double>(n + 3) * distance);
    std::vector<T> again;
    ASSERT_TRUE(Project(target, 1, n, output, again).ok());
    EXPECT_EQ(again, output) << "not idempotent";
    EXPECT_EQ(reports_[0].distance, 0);
  }

  void CheckSums(Target target, int64_t n, const std::vector<T>& p) {
    double worst = 0;
    const auto check = [&](const std::vector<T>& values) {
      Quad sum = 0;
      double largest = 0;
      for (T x : values) {
        sum += x;
        largest = std::max(largest, static_cast<double>(std::abs(x)));
      }
      EXPECT_LE(static_cast<double>(Abs(sum)), UlpOf(largest, kEpsilon) / 2 * (1 + 1e-9));
      worst = std::max(worst, static_cast<double>(Abs(sum)));
    };
    if (target == Target::kTraceless) {
      std::vector<T> diagonal;
      for (int64_t i = 0; i < n; ++i) diagonal.push_back(p[i * n + i]);
      check(diagonal);
    }
    if (target <= Target::kZeroRowSumDiagonal) {
      for (int64_t i = 0; i < n; ++i) check({p.begin() + i * n, p.begin() + (i + 1) * n});
    }
    EXPECT_NEAR(reports_[0].residual, worst, 1e-12 * worst);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const T entry = p[i * n + j], mirrored = p[j * n + i];
        EXPECT_TRUE(target != Target::kGenerator || i == j || entry >= 0);
        EXPECT_TRUE(target != Target::kSymmetric || entry == mirrored);
        EXPECT_TRUE(target != Target::kSkewSymmetric || entry == -mirrored);
      }
    }
  }

  runtime::Cancellation cancellation_;
  runtime::InlineExecutor executor_{cancellation_};
  runtime::BufferPool pool_;
  std::vector<AlgebraReport> reports_;
};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(Algebra, ElementTypes);

TYPED_TEST(Algebra, AgreesWithTheDefinition) {
  for (int64_t n : kSizes) {
    for (Target target : kAll) {
      this->Check(target, n, NormalValues<TypeParam>(n * n, 1), "normal");
      auto shifted = NormalValues<TypeParam>(n * n, 2);
      for (TypeParam& x : shifted) x += 100;
      this->Check(target, n, shifted, "large mean");
      this->Check(target, n, std::vector<TypeParam>(n * n, TypeParam{0}), "zero");
      this->Check(target, n, std::vector<TypeParam>(n * n, TypeParam{0.1f}), "all equal");
      auto coarse = NormalValues<TypeParam>(n * n, 3);
      for (TypeParam& x : coarse) x = std::round(x);
      this->Check(target, n, coarse, "many duplicates");
    }
  }
}

// Each pass of the active set drops one entry: the sorted cut finishes what the passes do not.
TYPED_TEST(Algebra, GeneratorOfRowsThatTakeManyPasses) {
  for (int64_t n : {17, 65, 100}) {
    std::vector<TypeParam> m(n * n);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < n; ++j) m[i * n + j] = static_cast<TypeParam>(std::pow(1.2, (i * 7 + j * 3) % n));
      m[i * n + i] = static_cast<TypeParam>(-std::pow(1.2, i % n));
    }
    this->Check(Target::kGenerator, n, m, "geometric");
  }
}

TYPED_TEST(Algebra, GeneratorsComeBackAsTheyAre) {
  const std::vector<TypeParam> g = {-3, 1, 2, 0, 0, 0, 0.5, 0.25, -0.75};
  std::vector<TypeParam> output;
  ASSERT_TRUE(this->Project(Target::kGenerator, 1, 3, g, output).ok());
  EXPECT_EQ(output, g);
  EXPECT_EQ(this->reports_[0].distance, 0);
}

TYPED_TEST(Algebra, HugeAndTinyEntriesKeepTheirDigits) {
  constexpr bool kDouble = sizeof(TypeParam) == 8;
  for (double scale : {kDouble ? 1e300 : 1e37, kDouble ? 1e-300 : 1e-30}) {
    for (Target target : kAll) {
      std::vector<TypeParam> m = NormalValues<TypeParam>(25, 4), expected, output;
      ASSERT_TRUE(this->Project(target, 1, 5, m, expected).ok());
      const double distance = this->reports_[0].distance;
      const double power = std::ldexp(1.0, std::ilogb(scale));
      for (TypeParam& x : m) x = static_cast<TypeParam>(x * power);
      ASSERT_TRUE(this->Project(target, 1, 5, m, output).ok());
      for (size_t k = 0; k < m.size(); ++k) EXPECT_EQ(output[k], static_cast<TypeParam>(expected[k] * power));
      EXPECT_NEAR(this->reports_[0].distance / power, distance, 1e-14 * distance);
    }
  }
}

TYPED_TEST(Algebra, OverflowIsRefusedNotReturned) {
  constexpr TypeParam kMax = std::numeric_limits<TypeParam>::max();
  std::vector<TypeParam> output;
  const std::vector<TypeParam> m = {0, kMax, kMax, 0, 0, 0, 0, 0, 0};
  const absl::Status status = this->Project(Target::kZeroRowSumDiagonal, 1, 3, m, output);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("outputs[0] overflows"));
  // Means and halves of the largest numbers do not overflow.
  const std::vector<TypeParam> equal(9, kMax);
  ASSERT_TRUE(this->Project(Target::kSymmetric, 1, 3, equal, output).ok());
  EXPECT_EQ(output, equal);
}

TYPED_TEST(Algebra, TheDistanceIsInfiniteWhereDoubleCannotHoldIt) {
  const auto large = static_cast<TypeParam>(0.95 * static_cast<double>(std::numeric_limits<TypeParam>::max()));
  std::mt19937 random(9);
  int finite = 0, infinite = 0;
  for (int64_t n = 1; n <= 5; ++n) {
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::vector<TypeParam> m(n * n), output;
      for (TypeParam& entry : m) entry = random() % 2 == 0 ? large : -large;
      for (Target target : kAll) {
        const absl::Status status = this->Project(target, 1, n, m, output);
        if (!status.ok()) {
          EXPECT_THAT(std::string(status.message()), testing::HasSubstr("outputs[0] overflows"));
          continue;
        }
        long double square = 0;
        for (size_t i = 0; i < m.size(); ++i) {
          const long double difference = static_cast<long double>(m[i]) - output[i];
          square += difference * difference;
        }
        const long double expected = std::sqrt(square);
        if (expected > std::numeric_limits<double>::max()) {
          EXPECT_EQ(this->reports_[0].distance, HUGE_VAL);
          ++infinite;
        } else {
          // Each of n^2 squares, their sum and the root round a few times.
          EXPECT_NEAR(this->reports_[0].distance / static_cast<double>(large), static_cast<double>(expected / large),
                      4 * static_cast<double>(n * n) * 0x1p-53);
          ++finite;
        }
        EXPECT_TRUE(std::isfinite(this->reports_[0].residual));
      }
    }
  }
  EXPECT_GT(finite, 100);
  EXPECT_EQ(infinite > 100, sizeof(TypeParam) == sizeof(double)) << infinite;
}

TYPED_TEST(Algebra, BatchesEqualTheirMatricesOnAnyNumberOfThreads) {
  constexpr int64_t kBatch = 5;
  for (Target target : kAll) {
    for (int64_t n : {3, 129, 300}) {
      const auto m = NormalValues<TypeParam>(kBatch * n * n, 5);
      std::vector<TypeParam> whole;
      ASSERT_TRUE(this->Project(target, kBatch, n, m, whole).ok());
      const auto reports = this->reports_;
      ThreadExecutor threads(4);
      std::vector<TypeParam> parallel(m.size());
      std::vector<AlgebraReport> parallel_reports;
      ASSERT_TRUE(
          AlgebraProjection(threads, this->pool_, {target, kBatch, n, m.data()}, parallel.data(), parallel_reports)
              .ok());
      EXPECT_EQ(parallel, whole);
      for (int64_t b = 0; b < kBatch; ++b) {
        const std::vector<TypeParam> one(m.begin() + b * n * n, m.begin() + (b + 1) * n * n);
        std::vector<TypeParam> alone;
        ASSERT_TRUE(this->Project(target, 1, n, one, alone).ok());
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), whole.begin() + b * n * n));
        EXPECT_EQ(reports[b].distance, this->reports_[0].distance);
        EXPECT_EQ(parallel_reports[b].distance, this->reports_[0].distance);
      }
    }
  }
}

TYPED_TEST(Algebra, EmptyMatrices) {
  std::vector<TypeParam> output;
  for (Target target : kAll) {
    ASSERT_TRUE(this->Project(target, 3, 0, {}, output).ok());
    EXPECT_EQ(this->reports_.size(), 3u);
    ASSERT_TRUE(this->Project(target, 0, 4, {}, output).ok());
    EXPECT_TRUE(this->reports_.empty());
  }
}

TYPED_TEST(Algebra, StopsWhenCancelled) {
  this->cancellation_.Cancel();
  std::vector<TypeParam> output;
  EXPECT_EQ(this->Project(Target::kGenerator, 1, 2, {1, 2, 3, 4}, output).code(), absl::StatusCode::kCancelled);
}

TYPED_TEST(Algebra, GoldenCases) {
  const std::pair<const char*, Target> cases[] = {{"algebra GENERATOR", Target::kGenerator},
                                                  {"algebra ZERO_ROW_SUM nearest", Target::kZeroRowSum},
                                                  {"algebra ZERO_ROW_SUM_DIAGONAL", Target::kZeroRowSumDiagonal},
                                                  {"algebra SKEW_SYMMETRIC", Target::kSkewSymmetric},
                                                  {"algebra SYMMETRIC", Target::kSymmetric},
                                                  {"algebra TRACELESS", Target::kTraceless}};
  for (const auto& [name, target] : cases) {
    SCOPED_TRACE(name);
    const nlohmann::json c = GoldenProjection(name);
    const golden::GoldenTensor m = golden::ParseTensor(c["m"]), expected = golden::ParseTensor(c["output"]);
    std::vector<TypeParam> output;
    ASSERT_TRUE(this->Project(target, 1, m.shape[0], As<TypeParam>(m.data), output).ok());
    // Entries are of order 1 and rows have 6 of them; float rounds its input as well.
    const double tolerance = 16 * this->kEpsilon;
    for (size_t k = 0; k < output.size(); ++k) EXPECT_NEAR(output[k], expected.data[k], tolerance);
    EXPECT_NEAR(this->reports_[0].distance, c["distance"].get<double>(), 6 * tolerance);
  }
}

}  // namespace
}  // namespace attend::compute
