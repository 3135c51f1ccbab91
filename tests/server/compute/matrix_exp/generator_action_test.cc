#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "server/compute/matrix_exp/generator.h"
#include "server/runtime/cancellation.h"
#include "tests/server/compute/matrix_exp/generator_cases.h"
#include "tests/server/compute/matrix_exp/oracle.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

using runtime::BufferPool;
using runtime::Cancellation;
using runtime::InlineExecutor;
using ElementTypes = testing::Types<float, double>;

template <typename T>
class GeneratorActionTest : public testing::Test {};
TYPED_TEST_SUITE(GeneratorActionTest, ElementTypes);

template <typename T>
std::vector<T> Act(int64_t n, int64_t p, const std::vector<T>& g, double time, const std::vector<T>& b) {
  Cancellation cancellation;
  InlineExecutor executor(cancellation);
  BufferPool pool;
  std::vector<T> out(b.size(), T{-7});
  const absl::Status status = GeneratorAction<T>(executor, pool, Matrix<const T>(g.data(), n, n), time,
                                                 Matrix<const T>(b.data(), n, p), Matrix<T>(out.data(), n, p));
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

template <typename T>
std::vector<T> MixedSigns(int64_t n, int64_t p, double scale) {
  std::mt19937 random(static_cast<uint32_t>(n * 31 + p));
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> b(n * p);
  for (T& x : b) x = static_cast<T>(normal(random));
  return b;
}

template <typename T>
void ExpectAction(int64_t n, const std::vector<int64_t>& columns, const std::vector<T>& g, double time, double scale,
                  const std::string& what) {
  const QuadMatrix exponential = QuadExp(n, QuadGenerator(n, g, time), static_cast<int>(std::ceil(std::log2(n))) + 1);
  for (int64_t p : columns) {
    const std::vector<T> b = MixedSigns<T>(n, p, scale);
    const std::vector<T> actual = Act(n, p, g, time, b);
    for (int64_t j = 0; j < p; ++j) {
      double largest = 0;
      double worst = 0;
      for (int64_t i = 0; i < n; ++i) {
        largest = std::max(largest, std::fabs(static_cast<double>(b[i * p + j])));
        Quad expected = 0;
        for (int64_t k = 0; k < n; ++k) expected += exponential[i * n + k] * b[k * p + j];
        worst = std::max(worst, std::fabs(static_cast<double>(actual[i * p + j] - expected)));
      }
      EXPECT_LE(worst, 4 * kUnitRoundoff<T> * largest) << what << " column " << j << " of " << p;  // generator.h
    }
  }
}

TYPED_TEST(GeneratorActionTest, ErrorIsAFewUlpsOfTheLargestEntry) {
  for (int64_t n : {1, 2, 3, 17}) {
    for (double time : {0.01, 1.0, 30.0, 1000.0}) {
      const std::string what = " n " + std::to_string(n) + " time " + std::to_string(time);
      ExpectAction(n, {1, 3, 8}, DenseGenerator<TypeParam>(n, 1, 17), time, 1.0, "dense" + what);
      ExpectAction(n, {1, 3, 8}, Chain<TypeParam>(n), time, 1e30, "chain" + what);
    }
  }
  ExpectAction(65, {1, 65}, DenseGenerator<TypeParam>(65, 1, 17), 12.0, 1e-30, "dense n 65");
  ExpectAction(129, {2}, Chain<TypeParam>(129), 12.0, 1e-30, "chain n 129");
}

// The time at which time times the largest sum of a row's rates is `rate_time`.
template <typename T>
double TimeOf(int64_t n, const std::vector<T>& g, double rate_time) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    double rates = 0;
    for (int64_t j = 0; j < n; ++j) rates += i == j ? 0 : static_cast<double>(g[i * n + j]);
    largest = std::max(largest, rates);
  }
  return rate_time / largest;
}

template <typename T>
std::vector<T> EqualRates(int64_t n) {
  std::vector<T> g(n * n, static_cast<T>(1.0 / 3));
  for (int64_t i = 0; i < n; ++i) g[i * n + i] = static_cast<T>(-(static_cast<double>(n) - 1) / 3);
  return g;
}

// About where double changes from one product to three.
TYPED_TEST(GeneratorActionTest, FewProductsRoundLittle) {
  const auto expect = [](int64_t n, const std::vector<TypeParam>& generator, double rate_time) {
    ExpectAction(n, {5}, generator, TimeOf(n, generator, rate_time), 1.0,
                 "n " + std::to_string(n) + " rate * time " + std::to_string(rate_time));
  };
  for (int64_t n : {2, 3, 5, 17, 65}) {
    for (double rate_time : {3.99, 4.01}) {
      expect(n, DenseGenerator<TypeParam>(n, 1, 17), rate_time);
      expect(n, Chain<TypeParam>(n), rate_time);
      expect(n, EqualRates<TypeParam>(n), rate_time);
    }
  }
  expect(129, DenseGenerator<TypeParam>(129, 1, 17), 4.01);  // the oracle takes seconds
}

// Two groups that mix at once, each by itself, and hardly with each other: changes fall, then stay.
template <typename T>
std::vector<T> TwoGroups(int64_t n, double between) {
  std::vector<T> g = DenseGenerator<T>(n, 1, 23);
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      if ((2 * i < n) != (2 * j < n)) g[i * n + j] = static_cast<T>(g[i * n + j] * between);
      sum += static_cast<double>(g[i * n + j]);
    }
    g[i * n + i] = static_cast<T>(-sum);
  }
  return g;
}

// Where changes are small they are summed instead of the terms: early for chains that mix, hardly ever for others.
TYPED_TEST(GeneratorActionTest, SmallChangesAreSummedByThemselves) {
  for (double rate_time : {4.5, 10.0, 60.0, 400.0}) {
    for (double between : {1.0, 1e-3, 1e-6}) {
      const auto g = TwoGroups<TypeParam>(33, between);
      ExpectAction(33, {1, 5}, g, TimeOf(33, g, rate_time), 1.0,
                   "between " + std::to_string(between) + " rate * time " + std::to_string(rate_time));
    }
  }
  const auto chain = Chain<TypeParam>(33);
  for (double rate_time : {4.5, 60.0, 400.0, 5000.0}) {
    ExpectAction(33, {20}, chain, TimeOf(33, chain, rate_time), 1.0, "chain " + std::to_string(rate_time));
  }
}

TYPED_TEST(GeneratorActionTest, MixingTakesFewProducts) {
  const int64_t n = 129;
  const std::vector<TypeParam> g = DenseGenerator<TypeParam>(n, 1, 3);
  const std::vector<TypeParam> b = MixedSigns<TypeParam>(n, 1, 1);
  std::vector<TypeParam> out(b.size());
  Cancellation cancellation;
  InlineExecutor executor(cancellation);
  BufferPool pool;
  int64_t products = 0;
  ASSERT_TRUE(GeneratorAction<TypeParam>(executor, pool, Matrix<const TypeParam>(g.data(), n, n), TimeOf(n, g, 1000.0),
                                         Matrix<const TypeParam>(b.data(), n, 1), Matrix<TypeParam>(out.data(), n, 1),
                                         &products)
                  .ok());
  EXPECT_GT(products, 3);
  EXPECT_LT(products, 100);  // not 1000
}

TYPED_TEST(GeneratorActionTest, BitsDoNotDependOnThreads) {
  const int64_t n = 300;
  const std::vector<TypeParam> g = DenseGenerator<TypeParam>(n, 1, 3);
  const double time = TimeOf(n, g, 12.0);
  for (int64_t p : {1, 20}) {
    const std::vector<TypeParam> b = MixedSigns<TypeParam>(n, p, 1);
    const std::vector<TypeParam> expected = Act(n, p, g, time, b);
    for (int threads : {1, 2, 3}) {
      ThreadExecutor executor(threads);
      BufferPool pool;
      std::vector<TypeParam> out(b.size());
      ASSERT_TRUE(GeneratorAction<TypeParam>(executor, pool, Matrix<const TypeParam>(g.data(), n, n), time,
                                             Matrix<const TypeParam>(b.data(), n, p),
                                             Matrix<TypeParam>(out.data(), n, p))
                      .ok());
      EXPECT_EQ(out, expected) << threads;
    }
  }
}

TYPED_TEST(GeneratorActionTest, StiffRatesInOneMatrixKeepTheSlowOnes) {
  ExpectAction(17, {4}, StiffSparseGenerator<TypeParam>(17, 0.4, 11), 5e4, 1.0, "stiff");
}

TYPED_TEST(GeneratorActionTest, ConstantColumnsStay) {
  for (double time : {0.5, 3e3, 1e7}) {
    const std::vector<TypeParam> ones(64 * 3, TypeParam{1});
    for (TypeParam x : Act(64, 3, DenseGenerator<TypeParam>(64, 1, 2), time, ones)) {
      EXPECT_EQ(x, 1) << time;
    }
  }
}

TYPED_TEST(GeneratorActionTest, MeansStayBetweenTheEntries) {
  const int64_t n = 65;
  std::vector<TypeParam> b(n, TypeParam{0.1});
  b[7] = std::nextafter(TypeParam{0.1}, TypeParam{1});
  for (double time : {0.01, 1.0, 1e3}) {
    for (TypeParam x : Act(n, 1, DenseGenerator<TypeParam>(n, 1, 2), time, b)) {
      EXPECT_GE(x, b[0]) << time;
      EXPECT_LE(x, b[7]) << time;
    }
  }
}

TYPED_TEST(GeneratorActionTest, SettledProductsStopEarly) {
  // 1e15 products would never end.
  const int64_t n = 16;
  const std::vector<TypeParam> g = DenseGenerator<TypeParam>(n, 1, 2);
  const std::vector<TypeParam> b = MixedSigns<TypeParam>(n, 1, 1);
  const std::vector<TypeParam> out = Act(n, 1, g, 1e15, b);
  const QuadMatrix settled = QuadExp(n, QuadGenerator(n, g, 1e6), 0);
  Quad expected = 0;
  double largest = 0;
  for (int64_t k = 0; k < n; ++k) {
    expected += settled[k] * b[k];
    largest = std::max(largest, std::fabs(static_cast<double>(b[k])));
  }
  for (TypeParam x : out) EXPECT_NEAR(x, static_cast<double>(expected), 4 * kUnitRoundoff<TypeParam> * largest);
}

TYPED_TEST(GeneratorActionTest, ExtremeValuesNeitherOverflowNorVanish) {
  const auto largest = std::numeric_limits<TypeParam>::max();
  const std::vector<TypeParam> g = DenseGenerator<TypeParam>(5, 1, 2);
  for (TypeParam x : Act(5, 2, g, 2.0, std::vector<TypeParam>(10, largest))) {
    EXPECT_NEAR(x / largest, 1, 4 * kUnitRoundoff<TypeParam>);
  }
  const auto least = std::numeric_limits<TypeParam>::denorm_min();
  for (TypeParam x : Act(5, 2, g, 2.0, std::vector<TypeParam>(10, least))) EXPECT_EQ(x, least);
  for (TypeParam x : Act(5, 2, g, 2.0, std::vector<TypeParam>(10, TypeParam{0}))) EXPECT_EQ(x, 0);
}

TEST(GeneratorFlops, ActionWinsForFewColumnsAndShortTimes) {
  EXPECT_LT(GeneratorActionFlops<float>(1024, 64, 5), GeneratorExpFlops<float>(1024, 5));
  EXPECT_LT(GeneratorExpFlops<float>(64, 1e6), GeneratorActionFlops<float>(64, 64, 1e6));
  EXPECT_LT(GeneratorActionFlops<double>(1024, 64, 5), GeneratorExpFlops<double>(1024, 5));
}

}  // namespace
}  // namespace attend::compute
