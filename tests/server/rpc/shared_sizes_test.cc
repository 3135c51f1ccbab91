// What is known of a call's shared memory before it is read or written.
#include <gtest/gtest.h>

#include "server/rpc/attention_codec.h"
#include "server/rpc/matrix_exp_codec.h"
#include "server/rpc/project_codec.h"
#include "tests/server/rpc/shared_call_fixture.h"

namespace attend::rpc {
namespace {

using SharedSizes = SharedCallTest;

// What the operation says of its tensors before it runs is what it writes.
template <typename Response>
void ExpectFitsExactly(const Decoder& decoder, v1::SharedMemory& results, const google::protobuf::Message& request) {
  results.set_length(0);
  const absl::Status refused = DecodeWith(decoder, request).status();
  ASSERT_EQ(ViolatedField(refused), "results.length") << refused;
  const std::string message(refused.message());
  const size_t at = message.find("expected ");
  ASSERT_NE(at, std::string::npos) << message;
  const uint64_t needed = std::stoull(message.substr(at + 9));
  results.set_length(needed - 1);
  EXPECT_EQ(ViolatedField(DecodeWith(decoder, request).status()), "results.length") << needed;
  results.set_length(needed);
  const auto answer = Answer<Response>(decoder, request);
  EXPECT_TRUE(answer.ok()) << answer.status();
}

TEST_F(SharedSizes, ARegionTooSmallIsRefusedBeforeAnythingIsComputed) {
  shared_.Write("results", std::string(1 << 16, '?'));
  for (v1::DataType dtype : {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64}) {
    v1::AttentionRequest attention = Attention(dtype);
    *attention.mutable_results() = PlaceIn("results", 0, 0);
    ExpectFitsExactly<v1::AttentionResponse>(With(DecodeAttention), *attention.mutable_results(), attention);
    for (int output : {1, 2, 3, 4}) attention.add_return_outputs(static_cast<v1::AttentionOutput>(output));
    ExpectFitsExactly<v1::AttentionResponse>(With(DecodeAttention), *attention.mutable_results(), attention);
    attention.set_output_dtype(v1::DATA_TYPE_BFLOAT16);
    ExpectFitsExactly<v1::AttentionResponse>(With(DecodeAttention), *attention.mutable_results(), attention);
    attention.clear_output_dtype();
    *attention.mutable_grad_output() =
        dtype == v1::DATA_TYPE_FLOAT64 ? Doubles({1, 2, 3, 5}, 4) : Floats({1, 2, 3, 5}, 4);
    ExpectFitsExactly<v1::AttentionResponse>(With(DecodeAttention), *attention.mutable_results(), attention);
  }
  v1::MatrixExpRequest exp;
  *exp.mutable_a() = Doubles({2, 5, 5});
  exp.add_times(0.5);
  exp.add_times(1);
  *exp.mutable_results() = PlaceIn("results", 0, 0);
  ExpectFitsExactly<v1::MatrixExpResponse>(With(DecodeMatrixExp), *exp.mutable_results(), exp);
  *exp.mutable_apply_to() = Doubles({5, 3});
  *exp.mutable_grad_output() = Doubles({2, 2, 5, 3});
  ExpectFitsExactly<v1::MatrixExpResponse>(With(DecodeMatrixExp), *exp.mutable_results(), exp);
}

TEST_F(SharedSizes, ProjectionsTooAreRefusedBeforeTheyAreComputed) {
  shared_.Write("results", std::string(1 << 16, '?'));
  std::vector<v1::ProjectRequest> requests(5);
  *requests[0].mutable_linear()->mutable_x() = Floats({3, 2});
  for (int columns : {5, 3}) *requests[0].mutable_linear()->add_w() = Floats({2, columns}, columns);
  *requests[1].mutable_congruence()->mutable_e() = Doubles({5, 3});
  *requests[1].mutable_congruence()->mutable_a() = Doubles({3, 3});
  *requests[2].mutable_algebra()->mutable_m() = Floats({2, 5, 5});
  requests[2].mutable_algebra()->set_target(v1::AlgebraProjection::TARGET_GENERATOR);
  *requests[3].mutable_low_rank()->mutable_a() = Floats({2, 5, 7});
  requests[3].mutable_low_rank()->set_rank(3);
  *requests[4].mutable_algebra()->mutable_m() = RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {1, 1}, {0});
  requests[4].mutable_algebra()->set_target(v1::AlgebraProjection::TARGET_TRACELESS);
  for (v1::ProjectRequest& request : requests) {
    *request.mutable_results() = PlaceIn("results", 0, 0);
    ExpectFitsExactly<v1::ProjectResponse>(With(DecodeProject), *request.mutable_results(), request);
  }
  // By energy, the size is known only afterwards.
  requests[3].mutable_low_rank()->set_energy(0.5);
  requests[3].mutable_results()->set_length(1);
  EXPECT_TRUE(DecodeWith(With(DecodeProject), requests[3]).ok());
  EXPECT_EQ(ViolatedField(Answer<v1::ProjectResponse>(With(DecodeProject), requests[3]).status()), "results.length");
}

TEST_F(SharedSizes, InputsAreCountedBeforeTheyAreGathered) {
  v1::AttentionRequest request = Attention();
  const auto bytes = [&] {
    const SlicedBytes sliced(request.SerializeAsString(), 5);
    return SharedInputBytes(sliced.spans(), v1::AttentionRequest::default_instance());
  };
  EXPECT_EQ(bytes(), 0u);
  Share("query", 0, *request.mutable_heads()->mutable_query());  // 120 bytes
  Share("key", 0, *request.mutable_heads()->mutable_key());      // 680 bytes
  EXPECT_EQ(bytes(), 800u);
  request.mutable_heads()->mutable_key()->mutable_shared()->set_length(UINT64_MAX);
  EXPECT_EQ(bytes(), UINT64_MAX);
  const SlicedBytes broken("\xff\xff", 1);
  EXPECT_EQ(SharedInputBytes(broken.spans(), v1::AttentionRequest::default_instance()), 0u);
}

}  // namespace
}  // namespace attend::rpc
