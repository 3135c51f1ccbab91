// Tensors of several parts, gathered on several threads.
#include "server/rpc/gather_parts.h"

#include <gtest/gtest.h>

#include <cstring>
#include <latch>
#include <limits>

#include "server/rpc/tensor_decoder.h"
#include "server/runtime/compute_pool.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

constexpr int64_t kElements = 3 * kPartElements + 1234;

// Decodes `tensor` as the field "a" of a MatrixExpRequest in a job of `threads` compute threads.
absl::StatusOr<DecodedTensor> Decode(const v1::Tensor& tensor, int threads, bool cancelled = false) {
  static auto* const buffers = new runtime::BufferPool;
  v1::MatrixExpRequest request, parsed;
  *request.mutable_a() = tensor;
  const SlicedBytes bytes(request.SerializeAsString(), 65521);
  const auto cancellation = std::make_shared<runtime::Cancellation>();
  if (cancelled) cancellation->Cancel();
  absl::StatusOr<DecodedTensor> decoded;
  runtime::ComputePool pool(threads);
  std::latch done(1);
  pool.Start(cancellation, [&](runtime::Executor& executor) {
    const auto wire = WireRequest::Parse(RequestBytes(bytes.spans(), nullptr, &executor), parsed);
    decoded = wire.ok() ? TensorDecoder(*wire, *buffers).Decode(parsed.a(), "a") : wire.status();
    done.count_down();
  });
  done.wait();
  return decoded;
}

template <typename T>
void ExpectGathered(v1::DataType dtype) {
  const std::vector<T> values = SomeValues<T>(kElements);
  for (int threads : {1, 3}) {
    const auto decoded = Decode(RawTensor(dtype, {kElements}, values), threads);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    ASSERT_EQ(decoded->tensor.size(), kElements);
    EXPECT_EQ(std::memcmp(decoded->tensor.template data<T>(), values.data(), values.size() * sizeof(T)), 0);
  }
}

TEST(GatherParts, EveryElementOfEveryWidth) {
  ExpectGathered<float>(v1::DATA_TYPE_FLOAT32);
  ExpectGathered<double>(v1::DATA_TYPE_FLOAT64);
}

TEST(GatherParts, HalvesOfEveryPartAreConverted) {
  std::vector<uint16_t> halves(kElements);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(0x3C00 + i % 1024);  // 1 + i / 1024
  const auto decoded = Decode(RawTensor(v1::DATA_TYPE_FLOAT16, {kElements}, halves), 2);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  int64_t wrong = 0;
  for (int64_t i = 0; i < kElements; ++i) {
    wrong += decoded->tensor.data<float>()[i] != 1 + static_cast<float>(i % 1024) / 1024;
  }
  EXPECT_EQ(wrong, 0);
}

TEST(GatherParts, TheFirstBadElementIsNamedWhoeverFindsOneFirst) {
  std::vector<float> values = SomeValues<float>(kElements);
  values[kPartElements + 7] = std::numeric_limits<float>::quiet_NaN();
  values[3 * kPartElements] = std::numeric_limits<float>::infinity();
  for (int repetition = 0; repetition < 10; ++repetition) {
    const auto decoded = Decode(RawTensor(v1::DATA_TYPE_FLOAT32, {kElements}, values), 3);
    EXPECT_TRUE(absl::IsInvalidArgument(decoded.status()));
    EXPECT_NE(decoded.status().message().find("nan at [262151]"), absl::string_view::npos) << decoded.status();
  }
}

TEST(GatherParts, ACancelledCallGathersNoMore) {
  const auto decoded = Decode(RawTensor(v1::DATA_TYPE_FLOAT32, {kElements}, SomeValues<float>(kElements)), 2, true);
  EXPECT_TRUE(absl::IsCancelled(decoded.status())) << decoded.status();
}

}  // namespace
}  // namespace attend::rpc
