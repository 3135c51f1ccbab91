#include "server/rpc/tensor_decoder.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using compute::DType;

// Decodes `tensor` as the field "a" of a MatrixExpRequest, cut into slices of `width`.
absl::StatusOr<DecodedTensor> Decode(const v1::Tensor& tensor, size_t width = 1 << 16,
                                     Values allowed = Values::kFinite) {
  static auto* const pool = new runtime::BufferPool;
  v1::MatrixExpRequest request, parsed;
  *request.mutable_a() = tensor;
  const SlicedBytes bytes(request.SerializeAsString(), width);
  const auto wire = WireRequest::Parse(bytes.spans(), parsed);
  if (!wire.ok()) return wire.status();
  return TensorDecoder(*wire, *pool).Decode(parsed.a(), "a", allowed);
}

template <typename T>
std::vector<T> Elements(const compute::Tensor& tensor) {
  return {tensor.data<T>(), tensor.data<T>() + tensor.size()};
}

TEST(TensorDecoder, GathersRawFromSlicesOfAnyWidth) {
  const std::vector<float> floats = SomeValues<float>(10007);
  const std::vector<double> doubles = SomeValues<double>(10007);
  for (size_t width : {1, 3, 7, 4096, 65536}) {
    const auto f = Decode(RawTensor(v1::DATA_TYPE_FLOAT32, {10007}, floats), width);
    ASSERT_TRUE(f.ok()) << f.status();
    EXPECT_EQ(Elements<float>(f->tensor), floats);
    const auto d = Decode(RawTensor(v1::DATA_TYPE_FLOAT64, {10007}, doubles), width);
    ASSERT_TRUE(d.ok()) << d.status();
    EXPECT_EQ(Elements<double>(d->tensor), doubles);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(d->tensor.data<double>()) % runtime::kBufferAlignment, 0u);
  }
}

TEST(TensorDecoder, HalvesArriveAsFloat32) {
  // 1.5, -2 and the smallest subnormal of each.
  const std::vector<uint16_t> float16 = {0x3E00, 0xC000, 0x0001};
  const std::vector<uint16_t> bfloat16 = {0x3FC0, 0xC000, 0x0001};
  for (size_t width : {1, 5, 100}) {
    const auto f = Decode(RawTensor(v1::DATA_TYPE_FLOAT16, {3}, float16), width);
    ASSERT_TRUE(f.ok()) << f.status();
    EXPECT_EQ(f->wire_dtype, DType::kFloat16);
    EXPECT_EQ(f->tensor.dtype(), DType::kFloat32);
    EXPECT_EQ(Elements<float>(f->tensor), (std::vector<float>{1.5f, -2.0f, std::ldexp(1.0f, -24)}));
    const auto b = Decode(RawTensor(v1::DATA_TYPE_BFLOAT16, {3}, bfloat16), width);
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(Elements<float>(b->tensor), (std::vector<float>{1.5f, -2.0f, std::bit_cast<float>(0x10000u)}));
  }
}

TEST(TensorDecoder, TypedValuesImplyTheirDType) {
  v1::Tensor floats;
  floats.add_shape(2);
  floats.add_float_values(1.25f);
  floats.add_float_values(-3);
  for (size_t width : {1, 100}) {
    const auto decoded = Decode(floats, width);
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->wire_dtype, DType::kFloat32);
    EXPECT_EQ(Elements<float>(decoded->tensor), (std::vector<float>{1.25f, -3}));
  }
  v1::Tensor doubles;
  doubles.add_double_values(0.1);  // a scalar
  EXPECT_EQ(Elements<double>(Decode(doubles)->tensor), std::vector<double>{0.1});
  v1::Tensor bools;
  bools.add_shape(3);
  for (bool value : {true, false, true}) bools.add_bool_values(value);
  EXPECT_EQ(Elements<uint8_t>(Decode(bools)->tensor), (std::vector<uint8_t>{1, 0, 1}));
  v1::Tensor ints;
  ints.set_dtype(v1::DATA_TYPE_INT32);
  ints.add_shape(2);
  ints.add_int32_values(-7);
  ints.add_int32_values(1 << 30);
  EXPECT_EQ(Elements<int32_t>(Decode(ints)->tensor), (std::vector<int32_t>{-7, 1 << 30}));
}

TEST(TensorDecoder, UnpackedValuesAndPiecesAreAppended) {
  // float_values unpacked (tag 4, fixed32), then a second piece of the same field: protobuf appends both.
  const float one = 1, two = 2;
  std::string body("\x08\x01\x10\x02\x25", 5);
  body.append(reinterpret_cast<const char*>(&one), 4);
  std::string more("\x22\x04", 2);
  more.append(reinterpret_cast<const char*>(&two), 4);
  std::string request;
  for (const std::string& piece : {body, more}) {
    request += '\x0A';
    request += static_cast<char>(piece.size());
    request += piece;
  }
  runtime::BufferPool pool;
  const SlicedBytes bytes(request, 3);
  v1::MatrixExpRequest parsed;
  const auto wire = WireRequest::Parse(bytes.spans(), parsed);
  ASSERT_TRUE(wire.ok());
  const auto decoded = TensorDecoder(*wire, pool).Decode(parsed.a(), "a");
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(Elements<float>(decoded->tensor), (std::vector<float>{1, 2}));
}

TEST(TensorDecoder, EmptyDimensionsNeedNoPayload) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT64);
  tensor.add_shape(0);
  tensor.add_shape(int64_t{1} << 20);
  const auto decoded = Decode(tensor);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->tensor.size(), 0);
}

// Whatever is done for each row of nothing would take for ever.
TEST(TensorDecoder, EmptyTensorsHaveFewRows) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{int64_t{1} << 60, 0}, {0, (1 << 20) + 1}, {1 << 11, 0, 1 << 10}}) {
    v1::Tensor tensor;
    tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
    for (int64_t dimension : shape) tensor.add_shape(dimension);
    EXPECT_EQ(ViolatedField(Decode(tensor).status()), "a.shape");
  }
}

struct BadTensor {
  std::string what;
  v1::Tensor tensor;
  std::string field;  // that the refusal names
};

std::vector<BadTensor> BadTensors() {
  std::vector<BadTensor> bad;
  const auto add = [&](std::string what, std::string field, v1::Tensor tensor) {
    bad.push_back({std::move(what), std::move(tensor), std::move(field)});
  };
  const auto changed = [](v1::Tensor tensor, auto change) {
    change(tensor);
    return tensor;
  };
  add("nothing in it", "a", v1::Tensor());
  add("one byte short", "a", changed(Floats({2, 3}), [](auto& t) { t.mutable_raw()->pop_back(); }));
  add("one element long", "a", changed(Floats({2, 3}), [](auto& t) { t.mutable_raw()->append(4, '\0'); }));
  add("no payload", "a", changed(Floats({2, 3}), [](auto& t) { t.clear_raw(); }));
  add("negative dimension", "a.shape", changed(Floats({2, 3}), [](auto& t) { t.set_shape(0, -2); }));
  add("two negative dimensions", "a.shape", changed(Floats({2, 3}), [](auto& t) {
        t.set_shape(0, -2);
        t.set_shape(1, -3);
      }));
  add("overflowing dimensions", "a.shape", changed(Floats({2, 3}), [](auto& t) {
        t.set_shape(0, int64_t{1} << 40);
        t.set_shape(1, int64_t{1} << 40);
      }));
  add("bytes that overflow", "a", changed(Floats({2, 3}), [](auto& t) {
        t.set_shape(0, int64_t{1} << 31);
        t.set_shape(1, int64_t{1} << 31);
      }));
  add("nine dimensions", "a.shape", Floats({1, 1, 1, 1, 1, 1, 1, 1, 1}));
  add("two payloads", "a", changed(Floats({2}), [](auto& t) { t.add_float_values(1); }));
  add("typed values of two kinds", "a", changed(v1::Tensor(), [](auto& t) {
        t.add_float_values(1);
        t.add_double_values(1);
      }));
  add("raw without dtype", "a.dtype", changed(Floats({2}), [](auto& t) { t.clear_dtype(); }));
  add("unknown dtype", "a.dtype", changed(Floats({2}), [](auto& t) { t.set_dtype(static_cast<v1::DataType>(99)); }));
  add("values of another dtype", "a", changed(v1::Tensor(), [](auto& t) {
        t.set_dtype(v1::DATA_TYPE_FLOAT64);
        t.add_float_values(1);
      }));
  add("bfloat16 by values", "a", changed(v1::Tensor(), [](auto& t) {
        t.set_dtype(v1::DATA_TYPE_BFLOAT16);
        t.add_float_values(1);
      }));
  add("a byte that is no BOOL", "a", RawTensor<uint8_t>(v1::DATA_TYPE_BOOL, {2}, {1, 2}));
  for (float value : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    std::vector<float> floats = SomeValues<float>(5000);
    floats[4500] = value;
    add("not finite", "a", RawTensor(v1::DATA_TYPE_FLOAT32, {5000}, floats));
    std::vector<double> doubles(floats.begin(), floats.end());
    add("not finite", "a", RawTensor(v1::DATA_TYPE_FLOAT64, {5000}, doubles));
  }
  add("float16 infinity", "a", RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {2}, {0x3C00, 0x7C00}));
  add("bfloat16 NaN", "a", RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {2}, {0x3F80, 0x7FC0}));
  return bad;
}

TEST(TensorDecoder, RefusesWithTheFieldsName) {
  for (const BadTensor& bad : BadTensors()) {
    for (size_t width : {1, 1000}) {
      const auto decoded = Decode(bad.tensor, width);
      EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << bad.what;
      EXPECT_EQ(ViolatedField(decoded.status()), bad.field) << bad.what << ": " << decoded.status();
      EXPECT_NE(decoded.status().message().find("got "), std::string::npos) << bad.what;
      EXPECT_NE(decoded.status().message().find("expected "), std::string::npos) << bad.what;
    }
  }
}

TEST(TensorDecoder, SaysWhereAValueIsNotFinite) {
  std::vector<float> values(24, 1);
  values[17] = std::nanf("");
  const auto decoded = Decode(RawTensor(v1::DATA_TYPE_FLOAT32, {2, 3, 4}, values));
  EXPECT_NE(decoded.status().message().find("[1, 1, 1]"), std::string::npos) << decoded.status();
}

TEST(TensorDecoder, MinusInfinityPassesWhereAllowed) {
  const std::vector<float> values = {1, -HUGE_VALF, 0};
  const auto decoded = Decode(RawTensor(v1::DATA_TYPE_FLOAT32, {3}, values), 100, Values::kFiniteOrMinusInfinity);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(Elements<float>(decoded->tensor), values);
  for (float bad : {HUGE_VALF, std::nanf("")}) {
    EXPECT_FALSE(
        Decode(RawTensor<float>(v1::DATA_TYPE_FLOAT32, {2}, {-HUGE_VALF, bad}), 100, Values::kFiniteOrMinusInfinity)
            .ok());
  }
}

}  // namespace
}  // namespace attend::rpc
