#include "server/compute/vector_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace attend::compute {
namespace {

constexpr int64_t kCounts[] = {0, 1, 2, 3, 5, 15, 16, 17, 31, 64, 65, 129};

template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

template <typename T>
std::vector<T> Uniform(int64_t count, double low, double high) {
  std::mt19937_64 random(static_cast<uint64_t>(count) + 1);
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = static_cast<T>(uniform(random));
  return values;
}

// The largest relative error of `got`, where `want` is a normal number of T.
template <typename T, typename Function>
double WorstRelativeError(const std::vector<T>& x, const std::vector<T>& got, const Function& want, T* where) {
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const long double exact = want(static_cast<long double>(x[i]));
    if (std::fabs(exact) < std::numeric_limits<T>::min()) continue;
    const auto error = static_cast<double>(std::fabs((got[i] - exact) / exact));
    if (error > worst) {
      worst = error;
      *where = x[i];
    }
  }
  return worst;
}

template <typename T>
class VectorMath : public testing::Test {
 public:
  // 2e-7 in float as the header says; 2 units in the last place, 2 * 2^-52, in double.
  static constexpr double kExpError = sizeof(T) == 4 ? 2e-7 : 4.45e-16;
  // Exp's, then a logarithm of 2 units in the last place and a sum of 1/2.
  static constexpr double kSoftplusError = kExpError + 2.5 * std::numeric_limits<T>::epsilon();
  static constexpr double kLogLargest = sizeof(T) == 4 ? 88.72 : 709.78;
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(VectorMath, FloatTypes);

TYPED_TEST(VectorMath, ExpIsAccurateOverItsRange) {
  using T = TypeParam;
  const std::vector<T> x = Uniform<T>(200001, -TestFixture::kLogLargest, TestFixture::kLogLargest);
  std::vector<T> got = x;
  Exp(got.data(), static_cast<int64_t>(got.size()));
  T where = 0;
  const double worst = WorstRelativeError(
      x, got, [](long double v) { return std::exp(v); }, &where);
  EXPECT_LE(worst, TestFixture::kExpError) << "at x = " << where;
}

TYPED_TEST(VectorMath, TanhIsAccurateEverywhere) {
  using T = TypeParam;
  for (const double range : {1e-30, 1e-3, 0.7, 10.0, 40.0, 1e30}) {
    const std::vector<T> x = Uniform<T>(100001, -range, range);
    std::vector<T> got = x;
    Tanh(got.data(), static_cast<int64_t>(got.size()));
    T where = 0;
    const double worst = WorstRelativeError(
        x, got, [](long double v) { return std::tanh(v); }, &where);
    EXPECT_LE(worst, sizeof(T) == 4 ? 3.5e-7 : 4 * std::numeric_limits<T>::epsilon()) << "at x = " << where;
    for (const T v : got) ASSERT_LE(std::fabs(v), T{1});
  }
}

TYPED_TEST(VectorMath, TanhAtTheEnds) {
  using T = TypeParam;
  std::vector<T> x = {0, -T{0}, kInfinity<T>, -kInfinity<T>, std::numeric_limits<T>::max(), 42};
  Tanh(x.data(), 5);
  EXPECT_EQ(x, (std::vector<T>{0, 0, 1, -1, 1, 42}));
}

TYPED_TEST(VectorMath, ExpOfEveryCountTouchesThatManyElements) {
  using T = TypeParam;
  for (const int64_t count : kCounts) {
    std::vector<T> got = Uniform<T>(count, -3, 3);
    const std::vector<T> x = got;
    got.push_back(42);
    Exp(got.data(), count);
    for (size_t i = 0; i < x.size(); ++i)
      EXPECT_NEAR(got[i], std::exp(x[i]), 1e-5) << "element " << i << " of " << count;
    EXPECT_EQ(got.back(), T{42}) << count;
  }
}

TYPED_TEST(VectorMath, ExpAtTheEnds) {
  using T = TypeParam;
  std::vector<T> x = {0, -kInfinity<T>, kInfinity<T>, std::numeric_limits<T>::max(), std::numeric_limits<T>::lowest()};
  Exp(x.data(), static_cast<int64_t>(x.size()));
  EXPECT_EQ(x[0], T{1});
  EXPECT_EQ(x[1], T{0});
  EXPECT_EQ(x[2], kInfinity<T>);
  EXPECT_EQ(x[3], kInfinity<T>);
  EXPECT_EQ(x[4], T{0});
}

TYPED_TEST(VectorMath, SoftplusIsAccurateForEitherSign) {
  using T = TypeParam;
  for (const double range : {1e-3, 1.0, 30.0, TestFixture::kLogLargest - 1.5}) {
    const std::vector<T> x = Uniform<T>(20001, -range, range);
    std::vector<T> got = x;
    Softplus(got.data(), static_cast<int64_t>(got.size()));
    T where = 0;
    const auto softplus = [](long double v) { return std::max(v, 0.0L) + std::log1p(std::exp(-std::fabs(v))); };
    const double worst = WorstRelativeError(x, got, softplus, &where);
    EXPECT_LE(worst, TestFixture::kSoftplusError) << "at x = " << where;
  }
}

TYPED_TEST(VectorMath, SoftplusAtTheEnds) {
  using T = TypeParam;
  const T largest = std::numeric_limits<T>::max();
  std::vector<T> x = {-kInfinity<T>, -largest, largest};
  Softplus(x.data(), 3);
  EXPECT_EQ(x[0], T{0});
  EXPECT_EQ(x[1], T{0});
  EXPECT_EQ(x[2], largest);
}

TYPED_TEST(VectorMath, ReluKeepsWhatIsPositive) {
  using T = TypeParam;
  std::vector<T> x = {-kInfinity<T>, -1, 0, T(0.5), 7};
  Relu(x.data(), static_cast<int64_t>(x.size()));
  EXPECT_EQ(x, (std::vector<T>{0, 0, 0, T(0.5), 7}));
}

TYPED_TEST(VectorMath, ExpShiftedIsAccurateAndZeroBelowTheNormalNumbers) {
  using T = TypeParam;
  // x - shift is exact: both are multiples of 2^-16 with few bits.
  const T shift = 5;
  for (const int64_t count : {1, 5, 17, 4001}) {
    std::vector<T> x = Uniform<T>(count, -TestFixture::kLogLargest + 8, 5);
    for (T& v : x) v = std::floor(v * 65536) / 65536;
    std::vector<T> got = x;
    ExpShifted(got.data(), shift, T{1}, count);
    T where = 0;
    const double worst = WorstRelativeError(
        x, got, [](long double v) { return std::exp(v - 5); }, &where);
    EXPECT_LE(worst, TestFixture::kExpError) << "at x = " << where;
  }
  std::vector<T> ends = {-kInfinity<T>, std::numeric_limits<T>::lowest(), shift};
  ExpShifted(ends.data(), shift, T(0.25), 3);
  EXPECT_EQ(ends, (std::vector<T>{0, 0, T(0.25)}));
}

TYPED_TEST(VectorMath, ScaleReportsWhatIsNotFinite) {
  using T = TypeParam;
  for (const int64_t count : kCounts) {
    if (count == 0) continue;
    std::vector<T> x(static_cast<size_t>(count), T{3});
    EXPECT_TRUE(Scale(x.data(), T(0.5), count)) << count;
    EXPECT_EQ(x, std::vector<T>(static_cast<size_t>(count), T(1.5)));
    for (const T bad : {kInfinity<T>, -kInfinity<T>, std::numeric_limits<T>::quiet_NaN()}) {
      std::vector<T> worse(static_cast<size_t>(count), T{3});
      worse.back() = bad;
      EXPECT_FALSE(Scale(worse.data(), T(0.5), count)) << bad << " at the end of " << count;
    }
  }
}

TYPED_TEST(VectorMath, SumAndEntropyAgreeWithAPlainLoop) {
  using T = TypeParam;
  for (const int64_t count : kCounts) {
    const std::vector<T> p = Uniform<T>(count, 0, 1);
    long double sum = 0;
    long double entropy = 0;
    for (const T v : p) {
      sum += v;
      entropy -= v * std::log(static_cast<long double>(v));
    }
    // Each of `count` terms of at most 1 may lose 4 units in the last place.
    const double tolerance = 4 * static_cast<double>(count) * std::numeric_limits<T>::epsilon();
    EXPECT_NEAR(Sum(p.data(), count), sum, tolerance) << count;
    EXPECT_NEAR(Entropy(p.data(), count), entropy, tolerance) << count;
  }
}

TYPED_TEST(VectorMath, EntropyOfCertaintyIsZero) {
  using T = TypeParam;
  const std::vector<T> p = {0, 0, 1, 0, 0};
  EXPECT_EQ(Entropy(p.data(), 5), T{0});
}

}  // namespace
}  // namespace attend::compute
