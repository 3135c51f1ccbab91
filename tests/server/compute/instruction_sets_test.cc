// The element-wise kernels with every instruction set that they were compiled for and this CPU has, against libm.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "hwy/tests/hwy_gtest.h"
#include "server/compute/convert.h"
#include "server/compute/vector_math.h"

namespace attend::compute {
namespace {

class InstructionSets : public hwy::TestWithParamTarget {};
HWY_TARGET_INSTANTIATE_TEST_SUITE_P(InstructionSets);

constexpr int64_t kCounts[] = {1, 2, 3, 5, 15, 16, 17, 31, 64, 65, 129};

template <typename T>
std::vector<T> Uniform(int64_t count, double range) {
  std::mt19937_64 random(static_cast<uint64_t>(count));
  std::uniform_real_distribution<double> uniform(-range, range);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values) value = static_cast<T>(uniform(random));
  return values;
}

// The relative error that a kernel's instruction set may leave. Without fused multiply-adds the reduced argument of an
// exponential is rounded once more, by epsilon / 2 of the 10 that the arguments here go up to.
template <typename T>
constexpr double kTolerance = (4 + 10.0 / 2) * std::numeric_limits<T>::epsilon();

template <typename T, typename Kernel, typename Function>
void ExpectFunction(double range, const Kernel& kernel, const Function& want) {
  for (const int64_t count : kCounts) {
    const std::vector<T> x = Uniform<T>(count, range);
    std::vector<T> got = x;
    got.push_back(77);  // what follows stays as it was
    kernel(got.data(), count);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = want(static_cast<double>(x[i]));
      EXPECT_NEAR(got[i], exact, kTolerance<T> * std::fabs(exact)) << "at " << x[i] << " of " << count;
    }
    EXPECT_EQ(got.back(), 77);
  }
}

template <typename T>
void ExpectFunctions() {
  ExpectFunction<T>(
      10, [](T* x, int64_t count) { Exp(x, count); }, [](double x) { return std::exp(x); });
  ExpectFunction<T>(
      10, [](T* x, int64_t count) { Tanh(x, count); }, [](double x) { return std::tanh(x); });
  ExpectFunction<T>(
      1e-3, [](T* x, int64_t count) { Tanh(x, count); }, [](double x) { return std::tanh(x); });
  ExpectFunction<T>(
      10, [](T* x, int64_t count) { EXPECT_TRUE(Scale(x, T{3}, count)); }, [](double x) { return 3 * x; });
}

TEST_P(InstructionSets, FunctionsOfFloats) { ExpectFunctions<float>(); }
TEST_P(InstructionSets, FunctionsOfDoubles) { ExpectFunctions<double>(); }

TEST_P(InstructionSets, HalvesAreExactInFloat) {
  for (const int64_t count : kCounts) {
    std::vector<uint16_t> half;
    std::vector<double> want;
    for (int64_t i = 0; i < count; ++i) {
      const int exponent = static_cast<int>(1 + i % 30);
      half.push_back(static_cast<uint16_t>(exponent << 10 | (i * 37 & 0x3FF)));
      want.push_back(std::ldexp(1024 + static_cast<double>(i * 37 & 0x3FF), exponent - 25));
    }
    std::vector<float> got(half.size());
    Float16ToFloat(half.data(), got.data(), half.size());
    EXPECT_EQ(std::vector<double>(got.begin(), got.end()), want) << count;
    BFloat16ToFloat(half.data(), got.data(), half.size());
    for (size_t i = 0; i < half.size(); ++i) EXPECT_EQ(std::bit_cast<uint32_t>(got[i]), uint32_t{half[i]} << 16);
  }
}

}  // namespace
}  // namespace attend::compute
