#include "server/rpc/wire_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

std::string BytesOf(WireCursor cursor) {
  std::string bytes(cursor.remaining(), '\0');
  EXPECT_TRUE(cursor.Copy(bytes.data(), bytes.size()));
  return bytes;
}

TEST(WireReader, CutsOutTensorsAndParsesTheRest) {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = Floats({2, 3});
  *request.mutable_heads()->mutable_key() = Floats({4, 3});
  request.mutable_mask()->set_causal(v1::CAUSAL_TOP_LEFT);
  request.mutable_mask()->add_key_lengths(3);
  *request.mutable_mask()->mutable_bias() = Floats({2, 4});
  request.mutable_normalization()->mutable_generator_exp()->set_time(0.5);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_LSE);
  for (size_t width : {1, 2, 3, 7, 64, 100000}) {
    const SlicedBytes bytes(request.SerializeAsString(), width);
    v1::AttentionRequest parsed;
    const auto wire = WireRequest::Parse(bytes.spans(), parsed);
    ASSERT_TRUE(wire.ok()) << wire.status();
    EXPECT_EQ(parsed.mask().causal(), v1::CAUSAL_TOP_LEFT);
    EXPECT_EQ(parsed.mask().key_lengths(0), 3);
    EXPECT_EQ(parsed.normalization().generator_exp().time(), 0.5);
    EXPECT_EQ(parsed.return_outputs(0), v1::ATTENTION_OUTPUT_LSE);
    EXPECT_FALSE(parsed.heads().has_value());
    EXPECT_TRUE(parsed.heads().query().raw().empty()) << "a tensor's bytes were parsed";
    ASSERT_EQ(wire->Pieces(parsed.heads().key()).size(), 1u);
    EXPECT_EQ(BytesOf(wire->Pieces(parsed.heads().key())[0]), request.heads().key().SerializeAsString());
    EXPECT_EQ(BytesOf(wire->Pieces(parsed.mask().bias())[0]), request.mask().bias().SerializeAsString());
  }
}

TEST(WireReader, RepeatedTensorsKeepTheirOrder) {
  v1::ProjectRequest request;
  for (int i = 0; i < 5; ++i) *request.mutable_linear()->add_w() = Floats({1, i + 1});
  const SlicedBytes bytes(request.SerializeAsString(), 5);
  v1::ProjectRequest parsed;
  const auto wire = WireRequest::Parse(bytes.spans(), parsed);
  ASSERT_TRUE(wire.ok());
  ASSERT_EQ(parsed.linear().w_size(), 5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(BytesOf(wire->Pieces(parsed.linear().w(i))[0]), request.linear().w(i).SerializeAsString());
  }
}

TEST(WireReader, MergesAsProtobufDoes) {
  // The same submessage twice on the wire: protobuf merges; a oneof takes the last.
  v1::AttentionRequest first, second;
  first.mutable_heads()->mutable_query()->set_dtype(v1::DATA_TYPE_FLOAT32);
  first.mutable_heads()->mutable_query()->add_shape(2);
  second.mutable_heads()->mutable_query()->add_shape(3);
  second.mutable_mask()->set_causal(v1::CAUSAL_BOTTOM_RIGHT);
  const SlicedBytes twice(first.SerializeAsString() + second.SerializeAsString(), 4);
  v1::AttentionRequest parsed;
  const auto wire = WireRequest::Parse(twice.spans(), parsed);
  ASSERT_TRUE(wire.ok());
  ASSERT_EQ(wire->Pieces(parsed.heads().query()).size(), 2u);
  EXPECT_EQ(BytesOf(wire->Pieces(parsed.heads().query())[1]), second.heads().query().SerializeAsString());

  v1::AttentionRequest tokens;
  tokens.mutable_tokens()->set_num_heads(2);
  const SlicedBytes switched(first.SerializeAsString() + tokens.SerializeAsString(), 4);
  v1::AttentionRequest last;
  ASSERT_TRUE(WireRequest::Parse(switched.spans(), last).ok());
  EXPECT_EQ(last.input_case(), v1::AttentionRequest::kTokens);
}

TEST(WireReader, SkipsUnknownFields) {
  v1::MatrixExpRequest request;
  request.add_times(2);
  std::string bytes = request.SerializeAsString();
  bytes += std::string("\xF8\x06\x01", 3);                               // field 111, varint
  bytes += std::string("\xFA\x06\x03xyz", 6);                            // field 111, bytes
  bytes += std::string("\xFD\x06\x01\x02\x03\x04", 6);                   // field 111, fixed32
  bytes += std::string("\xF9\x06\x01\x02\x03\x04\x05\x06\x07\x08", 10);  // field 111, fixed64
  bytes += std::string("\xFB\x06\x08\x01\xFC\x06", 6);                   // field 111, a group with a field
  const SlicedBytes sliced(bytes, 3);
  v1::MatrixExpRequest parsed;
  ASSERT_TRUE(WireRequest::Parse(sliced.spans(), parsed).ok());
  EXPECT_EQ(parsed.times(0), 2);
}

TEST(WireReader, EveryTruncationIsRefused) {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = Floats({2, 3});
  request.mutable_mask()->add_key_lengths(300);
  const std::string whole = request.SerializeAsString();
  // What ends inside the first field; whole fields alone are messages of their own.
  const size_t first_field = whole.size() - request.mask().SerializeAsString().size() - 2;
  for (size_t length = 1; length < whole.size(); ++length) {
    const SlicedBytes bytes(whole.substr(0, length), 4);
    v1::AttentionRequest parsed;
    const auto wire = WireRequest::Parse(bytes.spans(), parsed);
    EXPECT_EQ(wire.ok(), length == first_field) << length << " of " << whole.size();
    EXPECT_TRUE(wire.ok() || wire.status().code() == absl::StatusCode::kInvalidArgument) << wire.status();
  }
}

TEST(WireReader, RandomBytesAgreeWithProtobuf) {
  // Whatever protobuf itself cannot parse is refused, and nothing reads past the end (the sanitizers watch).
  std::mt19937 random(20260131);
  v1::AttentionRequest seed;
  *seed.mutable_heads()->mutable_query() = Floats({2, 3});
  *seed.mutable_mask()->mutable_allowed() = RawTensor<uint8_t>(v1::DATA_TYPE_BOOL, {2}, {0, 1});
  int parsed_both = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = seed.SerializeAsString();
    for (int change = 0; change < 1 + round % 4; ++change) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    if (round % 3 == 0) bytes.resize(random() % bytes.size());
    const SlicedBytes sliced(bytes, 1 + random() % 9);
    v1::AttentionRequest ours, theirs;
    const bool ours_ok = WireRequest::Parse(sliced.spans(), ours).ok();
    const bool theirs_ok = theirs.ParseFromString(bytes);
    // Bytes inside a tensor are looked at only when it is decoded, so ours may accept more, never less.
    EXPECT_TRUE(ours_ok || !theirs_ok) << round;
    if (ours_ok && theirs_ok) {
      ++parsed_both;
      EXPECT_EQ(ours.input_case(), theirs.input_case());
      EXPECT_EQ(ours.mask().causal(), theirs.mask().causal());
      EXPECT_EQ(ours.mask().has_allowed(), theirs.mask().has_allowed());
      EXPECT_EQ(ours.heads().has_query(), theirs.heads().has_query());
    }
  }
  EXPECT_GT(parsed_both, 1000);
}

TEST(WireReader, RefusesAFloodOfTensors) {
  std::string bytes;
  v1::ProjectRequest one;
  one.mutable_linear()->add_w();
  for (int i = 0; i < 5000; ++i) bytes += one.SerializeAsString();
  const SlicedBytes sliced(bytes, 4096);
  v1::ProjectRequest parsed;
  EXPECT_FALSE(WireRequest::Parse(sliced.spans(), parsed).ok());
}

TEST(WireReader, RefusesAFloodOfFields) {
  std::string bytes;
  for (int i = 0; i < (1 << 20) + 1; ++i) bytes += "\x38\x01";  // 2 MiB of a field that nobody knows
  const SlicedBytes sliced(bytes, 65536);
  v1::ProjectRequest parsed;
  const auto wire = WireRequest::Parse(sliced.spans(), parsed);
  EXPECT_EQ(ViolatedField(wire.status()), "request");
  EXPECT_NE(wire.status().message().find("1048576 fields"), absl::string_view::npos) << wire.status();
}

TEST(WireReader, DeepGroupsAreRefused) {
  std::string bytes;
  for (int depth = 0; depth < 100000; ++depth) bytes += "\xFB\x06";
  const SlicedBytes sliced(bytes, 4096);
  v1::AttentionRequest parsed;
  EXPECT_FALSE(WireRequest::Parse(sliced.spans(), parsed).ok());
}

}  // namespace
}  // namespace attend::rpc
