#include "server/compute/matrix_exp/generator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "server/runtime/cancellation.h"
#include "tests/server/compute/matrix_exp/generator_cases.h"
#include "tests/server/compute/matrix_exp/oracle.h"

namespace attend::compute {
namespace {

using runtime::BufferPool;
using runtime::Cancellation;
using runtime::InlineExecutor;

// Every entry of exp within this, relatively: 1e-14 for double, 20 units of roundoff for float.
template <typename T>
constexpr double kEntryTolerance = std::is_same_v<T, float> ? 20 * 0x1p-24 : 1e-14;

template <typename T>
struct Exponential {
  std::vector<T> entries;
  MatrixExpReport report;
};

template <typename T>
Exponential<T> Exp(int64_t n, const std::vector<T>& g, double time) {
  Cancellation cancellation;
  InlineExecutor executor(cancellation);
  BufferPool pool;
  Exponential<T> result{std::vector<T>(g.size(), T{-7}), {}};
  const absl::Status status = GeneratorExp<T>(executor, pool, Matrix<const T>(g.data(), n, n), time,
                                              Matrix<T>(result.entries.data(), n, n), result.report);
  EXPECT_TRUE(status.ok()) << status;
  return result;
}

template <typename T>
void ExpectStochastic(int64_t n, const Exponential<T>& exponential, const std::string& what) {
  for (int64_t i = 0; i < n; ++i) {
    Quad sum = -1;
    for (int64_t j = 0; j < n; ++j) {
      sum += exponential.entries[i * n + j];
      ASSERT_GE(exponential.entries[i * n + j], 0) << what << ": entry " << i << ", " << j;
    }
    // 4 ulp of 1.
    EXPECT_LE(std::fabs(static_cast<double>(sum)), 4 * std::numeric_limits<T>::epsilon()) << what << ": row " << i;
    EXPECT_LE(std::fabs(static_cast<double>(sum)), exponential.report.row_sum_error * 1.0000001) << what;
  }
  EXPECT_EQ(exponential.report.min_entry, *std::min_element(exponential.entries.begin(), exponential.entries.end()));
}

// In the 1-norm, which is 1 at least.
template <typename T>
double RelativeNormError(int64_t n, const std::vector<T>& actual, const QuadMatrix& expected) {
  double worst = 0;
  for (int64_t j = 0; j < n; ++j) {
    double difference = 0;
    double norm = 0;
    for (int64_t i = 0; i < n; ++i) {
      difference += std::fabs(static_cast<double>(actual[i * n + j] - expected[i * n + j]));
      norm += static_cast<double>(expected[i * n + j]);
    }
    worst = std::max(worst, difference / std::max(norm, 1.0));
  }
  return worst;
}

// Against quadruple precision: every entry relatively, below T's normal range absolutely.
template <typename T>
void ExpectEntrywise(int64_t n, const std::vector<T>& g, double time, const std::string& what) {
  const Exponential<T> actual = Exp(n, g, time);
  ExpectStochastic(n, actual, what);
  const QuadMatrix expected = QuadExp(n, QuadGenerator(n, g, time), static_cast<int>(std::ceil(std::log2(n))) + 1);
  double worst = 0;
  int64_t worst_index = 0;
  for (int64_t k = 0; k < n * n; ++k) {
    const Quad difference = actual.entries[k] - expected[k];
    const double floor = std::numeric_limits<T>::denorm_min() / kEntryTolerance<T>;
    const double error = std::fabs(static_cast<double>(difference / (expected[k] > floor ? expected[k] : Quad{floor})));
    if (error > worst) {
      worst = error;
      worst_index = k;
    }
    if (expected[k] == 0) {
      EXPECT_EQ(actual.entries[k], 0) << what << ": structural zero at " << k / n << ", " << k % n;
    }
  }
  EXPECT_LE(worst, kEntryTolerance<T>) << what << ": entry " << worst_index / n << ", " << worst_index % n << " is "
                                       << actual.entries[worst_index] << ", expected "
                                       << static_cast<double>(expected[worst_index]);
  EXPECT_LE(RelativeNormError(n, actual.entries, expected), actual.report.error_bound) << what;
}

template <typename T>
class GeneratorExpTest : public testing::Test {};
using ElementTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(GeneratorExpTest, ElementTypes);

TYPED_TEST(GeneratorExpTest, DenseIsEntrywiseAccurate) {
  for (int64_t n : {1, 2, 3, 5, 17, 64}) {
    for (double scale : {1e-3, 1.0, 50.0, 1e4}) {
      ExpectEntrywise(n, DenseGenerator<TypeParam>(n, scale, static_cast<uint32_t>(n)), 1.0,
                      "dense n " + std::to_string(n) + " scale " + std::to_string(scale));
    }
  }
}

TYPED_TEST(GeneratorExpTest, DenseOf129IsEntrywiseAccurate) {
  ExpectEntrywise(129, DenseGenerator<TypeParam>(129, 2.0, 129), 1.5, "dense n 129");
}

TYPED_TEST(GeneratorExpTest, StiffAndSparseIsEntrywiseAccurate) {
  for (int64_t n : {2, 3, 17, 40}) {
    for (double time : {1.0, 1e3, 1e9}) {
      for (double density : {0.1, 0.3, 1.0}) {
        ExpectEntrywise(
            n, StiffSparseGenerator<TypeParam>(n, density, static_cast<uint32_t>(7 * n)), time,
            "stiff n " + std::to_string(n) + " time " + std::to_string(time) + " density " + std::to_string(density));
      }
    }
  }
}

TYPED_TEST(GeneratorExpTest, AbsorbingChainKeepsDecayingEntries) {
  // Survival exp(-time), down to the least number of the type.
  for (double time : {0.1, 1.0, 10.0, 80.0, 100.0, 700.0}) {
    for (int64_t n : {2, 3, 17, 64}) {
      ExpectEntrywise(n, Chain<TypeParam>(n), time, "chain n " + std::to_string(n) + " time " + std::to_string(time));
    }
  }
}

TYPED_TEST(GeneratorExpTest, NearlyDecomposableLeakIsEntrywiseAccurate) {
  // Two states that mix at 1e9 and leak at rates of 1e-7 to 40 into a third.
  for (double leak : {1e-7, 1e-3, 1.0, 40.0}) {
    std::vector<TypeParam> g(9, TypeParam{0});
    g[0 * 3 + 1] = static_cast<TypeParam>(1e9);
    g[1 * 3 + 0] = static_cast<TypeParam>(0.7e9);
    g[1 * 3 + 2] = static_cast<TypeParam>(leak);
    ExpectEntrywise(3, g, 1.0, "leak " + std::to_string(leak));
  }
}

TYPED_TEST(GeneratorExpTest, HugeNormsStayStochastic) {
  for (double time : {1e9, 1e30, 1e300}) {
    const int64_t n = 17;
    const Exponential<TypeParam> exponential = Exp(n, DenseGenerator<TypeParam>(n, 1, 3), time);
    ExpectStochastic(n, exponential, "time " + std::to_string(time));
    // Settled: all rows are the stationary distribution.
    for (int64_t k = n; k < n * n; ++k) {
      EXPECT_NEAR(exponential.entries[k], exponential.entries[k - n],
                  4 * kUnitRoundoff<TypeParam> * exponential.entries[k]);
    }
  }
  std::vector<TypeParam> g(9, std::numeric_limits<TypeParam>::max());
  ExpectStochastic(3, Exp(3, g, 1e308), "all largest");
  std::fill(g.begin(), g.end(), std::numeric_limits<TypeParam>::denorm_min());
  ExpectStochastic(3, Exp(3, g, 1e-300), "all least");
}

TYPED_TEST(GeneratorExpTest, LargeIsStochasticAtAnyNorm) {
  const int64_t n = 512;
  ExpectStochastic(n, Exp(n, DenseGenerator<TypeParam>(n, 1.0, 5), 1e9), "n 512");
}

TYPED_TEST(GeneratorExpTest, ZeroTimeAndZeroMatrixGiveTheIdentity) {
  for (double time : {0.0, 3.0}) {
    const std::vector<TypeParam> g = time == 0 ? DenseGenerator<TypeParam>(5, 1, 1) : std::vector<TypeParam>(25);
    const Exponential<TypeParam> exponential = Exp(5, g, time);
    for (int64_t k = 0; k < 25; ++k) EXPECT_EQ(exponential.entries[k], k % 6 == 0 ? 1 : 0);
  }
}

TYPED_TEST(GeneratorExpTest, EmptyAndScalar) {
  Exp(0, std::vector<TypeParam>{}, 1.0);
  EXPECT_EQ(Exp(1, std::vector<TypeParam>{TypeParam{-3}}, 1e9).entries[0], 1);
}

TYPED_TEST(GeneratorExpTest, StopsWhenCancelled) {
  Cancellation cancellation;
  cancellation.Cancel();
  InlineExecutor executor(cancellation);
  BufferPool pool;
  const std::vector<TypeParam> g = DenseGenerator<TypeParam>(8, 1, 1);
  std::vector<TypeParam> out(64);
  MatrixExpReport report;
  EXPECT_EQ(GeneratorExp<TypeParam>(executor, pool, Matrix<const TypeParam>(g.data(), 8, 8), 1.0,
                                    Matrix<TypeParam>(out.data(), 8, 8), report)
                .code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace attend::compute
