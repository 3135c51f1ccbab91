#include "server/compute/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace attend::compute {
namespace {

// The value of a float16 by its definition.
double Float16Value(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = (bits >> 10) & 0x1F;
  const int mantissa = bits & 0x3FF;
  if (exponent == 0x1F) return mantissa == 0 ? sign * HUGE_VAL : std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Convert, EveryFloat16IsExactInFloat) {
  std::vector<uint16_t> half(65536);
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(i);
  // Odd counts reach the scalar tail.
  for (size_t skip : {0, 1, 3}) {
    std::vector<float> values(half.size() - skip);
    Float16ToFloat(half.data() + skip, values.data(), values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = Float16Value(half[i + skip]);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(values[i])) << half[i + skip];
      } else {
        EXPECT_EQ(values[i], expected) << half[i + skip];
      }
    }
  }
}

TEST(Convert, EveryBFloat16IsTheUpperHalfOfAFloat) {
  std::vector<uint16_t> half(65536);
  for (size_t i = 0; i < half.size(); ++i) half[i] = static_cast<uint16_t>(i);
  std::vector<float> values(half.size() - 1);
  BFloat16ToFloat(half.data() + 1, values.data(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint32_t>(values[i]), uint32_t{half[i + 1]} << 16);
  }
}

std::vector<uint16_t> Halves(DType to, const std::vector<float>& values, runtime::BufferPool& pool) {
  Tensor from(DType::kFloat32, {static_cast<int64_t>(values.size())}, pool);
  std::copy(values.begin(), values.end(), from.data<float>());
  const Tensor result = ConvertTo(to, from, pool);
  return {result.data<uint16_t>(), result.data<uint16_t>() + values.size()};
}

TEST(Convert, FloatToBFloat16RoundsToNearestEven) {
  runtime::BufferPool pool;
  const auto bits = [](uint32_t value) { return std::bit_cast<float>(value); };
  const std::vector<float> values = {1.0f,
                                     bits(0x3F808000),  // a tie between 0x3F80 and 0x3F81: even is below
                                     bits(0x3F818000),  // a tie between 0x3F81 and 0x3F82: even is above
                                     bits(0x3F808001),
                                     bits(0x3F807FFF),
                                     -bits(0x3F818000),
                                     std::numeric_limits<float>::max(),
                                     -INFINITY,
                                     std::nanf("")};
  const auto half = Halves(DType::kBFloat16, values, pool);
  EXPECT_EQ(std::vector<uint16_t>(half.begin(), half.end() - 1),
            (std::vector<uint16_t>{0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x3F80, 0xBF82, 0x7F80, 0xFF80}));
  EXPECT_EQ(half.back() & 0x7F80, 0x7F80);
  EXPECT_NE(half.back() & 0x7F, 0);
}

TEST(Convert, FloatToFloat16RoundsToNearestEven) {
  runtime::BufferPool pool;
  std::vector<float> values;
  std::vector<uint16_t> expected;
  // Each finite float16 itself, and a hair to either side of the middle to the next one.
  for (uint16_t bits = 0; bits < 0x7BFF; ++bits) {
    const double middle = (Float16Value(bits) + Float16Value(bits + 1)) / 2;
    values.insert(values.end(),
                  {static_cast<float>(Float16Value(bits)), std::nextafter(static_cast<float>(middle), 0.0f),
                   static_cast<float>(middle), std::nextafter(static_cast<float>(middle), 1e6f)});
    expected.insert(expected.end(),
                    {bits, bits, static_cast<uint16_t>(bits + (bits & 1)), static_cast<uint16_t>(bits + 1)});
  }
  values.push_back(1e6f);
  expected.push_back(0x7C00);
  EXPECT_EQ(Halves(DType::kFloat16, values, pool), expected);
}

TEST(Convert, BetweenFloatAndDouble) {
  runtime::BufferPool pool;
  Tensor from(DType::kFloat64, {3}, pool);
  from.data<double>()[0] = 0.1;
  from.data<double>()[1] = -1e300;
  from.data<double>()[2] = 2;
  const Tensor narrow = ConvertTo(DType::kFloat32, from, pool);
  EXPECT_EQ(narrow.data<float>()[0], 0.1f);
  EXPECT_EQ(narrow.data<float>()[1], -INFINITY);
  const Tensor wide = ConvertTo(DType::kFloat64, narrow, pool);
  EXPECT_EQ(wide.data<double>()[0], static_cast<double>(0.1f));
  EXPECT_EQ(wide.shape(), from.shape());
}

template <typename T>
void FindsEachNonFinitePlace() {
  for (size_t count : {0, 1, 2, 3, 5, 17, 64, 65, 129}) {
    std::vector<T> values(count, std::numeric_limits<T>::max());
    EXPECT_TRUE(AllFinite(values.data(), count));
    for (size_t i = 0; i < count; ++i) {
      for (T bad : {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                    std::numeric_limits<T>::quiet_NaN()}) {
        const T good = std::exchange(values[i], bad);
        EXPECT_FALSE(AllFinite(values.data(), count)) << "count " << count << " place " << i;
        values[i] = good;
      }
    }
  }
}

TEST(Convert, AllFiniteFindsEachNonFinitePlace) {
  FindsEachNonFinitePlace<float>();
  FindsEachNonFinitePlace<double>();
}

}  // namespace
}  // namespace attend::compute
