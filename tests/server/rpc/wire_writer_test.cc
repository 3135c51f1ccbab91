#include "server/rpc/wire_writer.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

compute::Tensor SomeTensor(compute::Shape shape, runtime::BufferPool& pool) {
  compute::Tensor tensor(compute::DType::kFloat32, std::move(shape), pool);
  const auto values = SomeValues<float>(tensor.size());
  std::copy(values.begin(), values.end(), tensor.data<float>());
  return tensor;
}

std::string Joined(std::vector<WirePiece> pieces) {
  std::string bytes;
  for (const WirePiece& piece : pieces) {
    if (const auto* text = std::get_if<std::string>(&piece)) {
      bytes += *text;
    } else {
      const auto& buffer = std::get<runtime::Buffer>(piece);
      bytes.append(buffer.as<char>(), buffer.size());
    }
  }
  return bytes;
}

TEST(WireWriter, WritesWhatProtobufReads) {
  runtime::BufferPool pool;
  for (int64_t rows : {0, 1, 3, 500}) {
    WireWriter writer;
    writer.AddTensor(v1::AttentionResponse::kOutputFieldNumber, SomeTensor({rows, 7}, pool));
    writer.AddTensor(v1::AttentionResponse::kLseFieldNumber, SomeTensor({}, pool));
    writer.AddTensorEntry(v1::AttentionResponse::kGradientsFieldNumber, "query", SomeTensor({rows, 7}, pool));
    writer.AddTensorEntry(v1::AttentionResponse::kGradientsFieldNumber, "key", SomeTensor({2}, pool));
    v1::CallStats stats;
    stats.set_flops(1e9);
    writer.AddMessage(v1::AttentionResponse::kStatsFieldNumber, stats);
    const uint64_t announced = writer.bytes();
    const std::string bytes = Joined(writer.Finish());
    EXPECT_EQ(bytes.size(), announced);

    v1::AttentionResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    EXPECT_EQ(ShapeOf(response.output()), (std::vector<int64_t>{rows, 7}));
    EXPECT_EQ(ValuesOf<float>(response.output()), SomeValues<float>(rows * 7));
    EXPECT_EQ(ValuesOf<float>(response.lse()), SomeValues<float>(1));
    EXPECT_EQ(ValuesOf<float>(response.gradients().at("query")), SomeValues<float>(rows * 7));
    EXPECT_EQ(ValuesOf<float>(response.gradients().at("key")), SomeValues<float>(2));
    EXPECT_EQ(response.stats().flops(), 1e9);
  }
}

TEST(WireWriter, LargeTensorsAreNotCopied) {
  runtime::BufferPool pool;
  compute::Tensor tensor = SomeTensor({100, 100}, pool);
  const std::byte* memory = tensor.data<std::byte>();
  WireWriter writer;
  writer.AddTensor(1, std::move(tensor));
  const auto pieces = writer.Finish();
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(std::get<runtime::Buffer>(pieces[1]).data(), memory);
  EXPECT_EQ(std::get<runtime::Buffer>(pieces[1]).size(), 40000u);
}

TEST(WireWriter, EmptyAfterFinish) {
  runtime::BufferPool pool;
  WireWriter writer;
  writer.AddTensor(1, SomeTensor({3}, pool));
  writer.Finish();
  EXPECT_EQ(writer.bytes(), 0u);
  EXPECT_TRUE(writer.Finish().empty());
}

}  // namespace
}  // namespace attend::rpc
