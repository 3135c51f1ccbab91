#include "client/lib/convert.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/lib/tensor.h"

namespace attend::client {
namespace {

using ::testing::ElementsAre;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(Float16, EveryNumberSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double value = DecodeFloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(EncodeFloat16(value), bits) << value;
  }
}

TEST(Bfloat16, EveryNumberSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double value = DecodeBfloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(EncodeBfloat16(value), bits) << value;
  }
}

TEST(Float16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(1 + 0x1p-11)), 1);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(1 + 0x1p-11 + 0x1p-40)), 1 + 0x1p-10);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(1 + 3 * 0x1p-11)), 1 + 0x1p-9);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(65519.99)), 65504);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(65520)), kInfinity);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(0x1p-25)), 0);
  EXPECT_EQ(DecodeFloat16(EncodeFloat16(0x1.01p-25)), 0x1p-24);
  EXPECT_TRUE(std::isnan(DecodeFloat16(EncodeFloat16(NAN))));
}

TEST(Bfloat16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(DecodeBfloat16(EncodeBfloat16(1 + 0x1p-8)), 1);
  // A detour over float32 would lose the last term and then round to even, downwards.
  EXPECT_EQ(DecodeBfloat16(EncodeBfloat16(1 + 0x1p-8 + 0x1p-40)), 1 + 0x1p-7);
  EXPECT_EQ(DecodeBfloat16(EncodeBfloat16(1e39)), kInfinity);
  EXPECT_EQ(DecodeBfloat16(EncodeBfloat16(-1e39)), -kInfinity);
  EXPECT_TRUE(std::isnan(DecodeBfloat16(EncodeBfloat16(NAN))));
}

TEST(ConvertTensor, KeepsShapeAndValues) {
  const v1::Tensor source = *MakeTensor({2, 2}, std::vector<double>{0, 0.5, -3, 1024});
  for (const v1::DataType dtype : {v1::DATA_TYPE_FLOAT16, v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_FLOAT32}) {
    absl::StatusOr<v1::Tensor> converted = ConvertTensor(source, dtype);
    ASSERT_TRUE(converted.ok()) << converted.status();
    EXPECT_EQ(converted->dtype(), dtype);
    EXPECT_THAT(converted->shape(), ElementsAre(2, 2));
    EXPECT_THAT(*WidenToDoubles(*converted), ElementsAre(0, 0.5, -3, 1024));
  }
}

TEST(ConvertTensor, RefusesTypesThatAreNotFloating) {
  EXPECT_FALSE(ConvertTensor(*MakeTensor({1}, std::vector<int32_t>{1}), v1::DATA_TYPE_FLOAT32).ok());
  EXPECT_FALSE(ConvertTensor(*MakeTensor({1}, std::vector<float>{1}), v1::DATA_TYPE_BOOL).ok());
}

}  // namespace
}  // namespace attend::client
