#include "client/lib/tensor.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace attend::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

v1::Tensor RawTensor(v1::DataType dtype, std::vector<int64_t> shape, std::string raw) {
  v1::Tensor tensor;
  tensor.set_dtype(dtype);
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  tensor.set_raw(std::move(raw));
  return tensor;
}

TEST(Tensor, FloatsGoOutLittleEndian) {
  absl::StatusOr<v1::Tensor> tensor = MakeTensor({2}, std::vector<float>{1.0f, -2.0f});
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_THAT(tensor->shape(), ElementsAre(2));
  EXPECT_EQ(tensor->raw(), std::string("\x00\x00\x80\x3f\x00\x00\x00\xc0", 8));
  EXPECT_EQ(tensor->float_values_size(), 0);
}

TEST(Tensor, EveryTypeComesBackAsItWas) {
  EXPECT_THAT(*ReadFloats(*MakeTensor({3, 1}, std::vector<float>{1, 2, 3})), ElementsAre(1, 2, 3));
  EXPECT_THAT(*ReadDoubles(*MakeTensor({2}, std::vector<double>{0.1, -1e300})), ElementsAre(0.1, -1e300));
  EXPECT_THAT(*ReadInts(*MakeTensor({2}, std::vector<int32_t>{-7, 1 << 30})), ElementsAre(-7, 1 << 30));
  EXPECT_THAT(*ReadBools(*MakeTensor({3}, std::vector<uint8_t>{0, 1, 255})), ElementsAre(0, 1, 1));
}

TEST(Tensor, ScalarHasOneElementAndEmptyHasNone) {
  EXPECT_THAT(*ReadFloats(*MakeTensor({}, std::vector<float>{5})), ElementsAre(5));
  EXPECT_THAT(*ReadFloats(*MakeTensor({2, 0, 3}, std::vector<float>{})), ElementsAre());
}

TEST(Tensor, RefusesANumberOfElementsThatIsNotTheShapes) {
  const absl::Status status = MakeTensor({2, 3}, std::vector<float>{1, 2}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("got 2 elements, expected 6"));
}

TEST(Tensor, CountsElementsWithoutOverflowing) {
  EXPECT_EQ(*ElementCount({}), 1);
  EXPECT_EQ(*ElementCount({kHuge}), kHuge);
  EXPECT_EQ(*ElementCount({kHuge, kHuge, 0}), 0);
  EXPECT_FALSE(ElementCount({kHuge, 2}).ok());
  EXPECT_FALSE(ElementCount({-1, 3}).ok());
  EXPECT_TRUE(ElementCount({1, 1, 1, 1, 1, 1, 1, 1}).ok());
  EXPECT_FALSE(ElementCount({1, 1, 1, 1, 1, 1, 1, 1, 1}).ok());
}

TEST(Tensor, RefusesRawOfAnotherLength) {
  EXPECT_FALSE(ReadFloats(RawTensor(v1::DATA_TYPE_FLOAT32, {2}, std::string(7, 'x'))).ok());
  EXPECT_FALSE(ReadFloats(RawTensor(v1::DATA_TYPE_FLOAT32, {2}, std::string(12, 'x'))).ok());
  EXPECT_FALSE(ReadFloats(RawTensor(v1::DATA_TYPE_FLOAT32, {kHuge}, std::string(8, 'x'))).ok());
  EXPECT_FALSE(ReadFloats(RawTensor(v1::DATA_TYPE_FLOAT32, {2}, "")).ok());
}

TEST(Tensor, RefusesToReadAnotherType) {
  const absl::Status status = ReadDoubles(*MakeTensor({1}, std::vector<float>{1})).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("got a float32 tensor, expected float64"));
}

TEST(Tensor, ReadsTypedValuesThatAgreeWithTheirType) {
  v1::Tensor tensor;
  tensor.add_shape(2);
  tensor.add_float_values(1.5f);
  tensor.add_float_values(2.5f);
  EXPECT_THAT(*ReadFloats(tensor), ElementsAre(1.5f, 2.5f));
  tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
  EXPECT_FALSE(ReadDoubles(tensor).ok());
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  tensor.set_shape(0, 3);
  EXPECT_FALSE(ReadFloats(tensor).ok());
}

TEST(Tensor, RefusesTwoPayloads) {
  v1::Tensor tensor = *MakeTensor({1}, std::vector<float>{1});
  tensor.add_float_values(1);
  EXPECT_THAT(std::string(ReadFloats(tensor).status().message()), HasSubstr("several payloads"));
}

TEST(Tensor, NamesItsTypesBothWays) {
  for (const v1::DataType dtype : {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16,
                                   v1::DATA_TYPE_FLOAT16, v1::DATA_TYPE_INT32, v1::DATA_TYPE_BOOL}) {
    EXPECT_EQ(*ParseDataType(DataTypeName(dtype)), dtype);
  }
  EXPECT_FALSE(ParseDataType("float8").ok());
  EXPECT_EQ(DataTypeName(static_cast<v1::DataType>(17)), "unknown(17)");
}

}  // namespace
}  // namespace attend::client
