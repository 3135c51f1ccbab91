#include "server/compute/tensor.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <utility>

namespace attend::compute {
namespace {

constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

TEST(ElementCount, IsTheProductOfTheDimensions) {
  EXPECT_EQ(ElementCount({}), 1);
  EXPECT_EQ(ElementCount({7}), 7);
  EXPECT_EQ(ElementCount({2, 3, 5}), 30);
  EXPECT_EQ(ElementCount({kLargest, 1}), kLargest);
}

TEST(ElementCount, IsAbsentWhereItDoesNotFit) {
  EXPECT_EQ(ElementCount({kLargest, 2}), std::nullopt);
  EXPECT_EQ(ElementCount({int64_t{1} << 32, int64_t{1} << 31}), std::nullopt);
}

TEST(ElementCount, IsZeroWithAnEmptyDimensionHoweverLargeTheOthers) {
  EXPECT_EQ(ElementCount({kLargest, kLargest, 0}), 0);
  EXPECT_EQ(ElementCount({0, kLargest, kLargest}), 0);
}

TEST(ShapeToString, PutsDimensionsInBrackets) {
  EXPECT_EQ(ShapeToString({}), "[]");
  EXPECT_EQ(ShapeToString({2, 3, 5}), "[2, 3, 5]");
}

TEST(DType, HasASizeAndANameAndAKind) {
  EXPECT_EQ(SizeOf(DType::kFloat64), 8u);
  EXPECT_EQ(SizeOf(DType::kFloat32), 4u);
  EXPECT_EQ(SizeOf(DType::kInt32), 4u);
  EXPECT_EQ(SizeOf(DType::kBFloat16), 2u);
  EXPECT_EQ(SizeOf(DType::kFloat16), 2u);
  EXPECT_EQ(SizeOf(DType::kBool), 1u);
  EXPECT_EQ(NameOf(DType::kBFloat16), "BFLOAT16");
  EXPECT_EQ(NameOf(DTypeOf<float>()), "FLOAT32");
  EXPECT_EQ(NameOf(DTypeOf<double>()), "FLOAT64");
  EXPECT_TRUE(IsFloating(DType::kFloat16));
  EXPECT_FALSE(IsFloating(DType::kInt32));
  EXPECT_FALSE(IsFloating(DType::kBool));
}

TEST(Tensor, TakesItsMemoryFromThePoolAndGivesItBack) {
  runtime::BufferPool pool;
  {
    const Tensor tensor(DType::kFloat64, {3, 5}, pool);
    EXPECT_EQ(tensor.rank(), 2);
    EXPECT_EQ(tensor.dim(1), 5);
    EXPECT_EQ(tensor.size(), 15);
    EXPECT_EQ(tensor.bytes(), 120u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data<double>()) % runtime::kBufferAlignment, 0u);
    EXPECT_GE(pool.in_use_bytes(), 120u);
  }
  EXPECT_EQ(pool.in_use_bytes(), 0u);
}

TEST(Tensor, KeepsTheElementsOfABufferItWasGiven) {
  runtime::BufferPool pool;
  runtime::Buffer buffer = pool.AllocateArray<float>(4);
  for (int i = 0; i < 4; ++i) buffer.as<float>()[i] = static_cast<float>(i);
  const float* memory = buffer.as<float>();
  Tensor tensor(DType::kFloat32, {2, 2}, std::move(buffer));
  EXPECT_EQ(tensor.data<float>(), memory);
  EXPECT_EQ(tensor.data<float>()[3], 3.0f);
  const runtime::Buffer taken = tensor.TakeBuffer();
  EXPECT_EQ(taken.as<float>(), memory);
}

}  // namespace
}  // namespace attend::compute
