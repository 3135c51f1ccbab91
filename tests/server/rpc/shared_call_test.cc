#include "server/rpc/shared_call.h"

#include <gtest/gtest.h>

#include "server/rpc/attention_codec.h"
#include "server/rpc/matrix_exp_codec.h"
#include "server/rpc/matrix_log_codec.h"
#include "server/rpc/project_codec.h"
#include "tests/server/rpc/shared_call_fixture.h"

namespace attend::rpc {
namespace {

TEST_F(SharedCallTest, InputsGiveTheSameBits) {
  for (v1::DataType dtype : {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64}) {
    v1::AttentionRequest request = Attention(dtype);
    const auto plain = Answer<v1::AttentionResponse>(With(DecodeAttention), request);
    Share("query", 7, *request.mutable_heads()->mutable_query());
    Share("value", 0, *request.mutable_heads()->mutable_value());
    const auto shared = Answer<v1::AttentionResponse>(With(DecodeAttention), request, 3);
    ASSERT_TRUE(shared.ok()) << shared.status();
    EXPECT_EQ(shared->output().raw(), plain->output().raw());
  }
}

TEST_F(SharedCallTest, EveryDtypeIsRead) {
  const std::vector<uint16_t> halves = {0x3E00, 0xC000, 0x3C00, 0x0001};
  for (v1::DataType dtype : {v1::DATA_TYPE_FLOAT16, v1::DATA_TYPE_BFLOAT16}) {
    v1::ProjectRequest request;
    *request.mutable_linear()->mutable_x() = RawTensor(dtype, {2, 2}, halves);
    *request.mutable_linear()->add_w() = RawTensor(dtype, {2, 2}, halves);
    const auto plain = Answer<v1::ProjectResponse>(With(DecodeProject), request);
    Share("x", 64, *request.mutable_linear()->mutable_x());
    const auto shared = Answer<v1::ProjectResponse>(With(DecodeProject), request);
    ASSERT_TRUE(shared.ok()) << shared.status();
    EXPECT_EQ(shared->outputs(0).raw(), plain->outputs(0).raw());
  }
  v1::AttentionRequest masked = Attention();
  *masked.mutable_mask()->mutable_allowed() = RawTensor(v1::DATA_TYPE_BOOL, {3, 17}, std::vector<uint8_t>(3 * 17, 1));
  Share("allowed", 1, *masked.mutable_mask()->mutable_allowed());
  EXPECT_TRUE(Answer<v1::AttentionResponse>(With(DecodeAttention), masked).ok());
  shared_.Write("allowed", std::string(1 + 3 * 17, '\2'));
  EXPECT_EQ(ViolatedField(Answer<v1::AttentionResponse>(With(DecodeAttention), masked).status()), "mask.allowed");
}

TEST_F(SharedCallTest, ResultsGoWhereTheRequestSays) {
  v1::AttentionRequest request = Attention();
  *request.mutable_grad_output() = Floats({1, 2, 3, 5}, 4);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_LSE);
  const auto plain = Answer<v1::AttentionResponse>(With(DecodeAttention), request);
  shared_.Write("results", std::string(8192, '?'));
  *request.mutable_results() = PlaceIn("results", 100, 8000);
  const auto shared = Answer<v1::AttentionResponse>(With(DecodeAttention), request);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(Placed(shared->output()), plain->output().raw());
  EXPECT_EQ(Placed(shared->lse()), plain->lse().raw());
  ASSERT_EQ(shared->gradients().size(), 3u);
  for (const auto& [name, gradient] : plain->gradients()) {
    EXPECT_EQ(Placed(shared->gradients().at(name)), gradient.raw()) << name;
    EXPECT_EQ((shared->gradients().at(name).shared().offset() - 100) % 64, 0u);
    EXPECT_EQ(ShapeOf(shared->gradients().at(name)), ShapeOf(gradient));
  }
  EXPECT_EQ(shared->output().shared().offset(), 100u);
  EXPECT_EQ(shared_.Read("results").substr(0, 100), std::string(100, '?'));
  EXPECT_EQ(shared_.Read("results").size(), 8192u);
}

TEST_F(SharedCallTest, ResultsOfEveryRpc) {
  shared_.Write("results", std::string(4096, '?'));
  v1::MatrixExpRequest exp;
  *exp.mutable_a() = Doubles({5, 5});
  const auto plain_exp = Answer<v1::MatrixExpResponse>(With(DecodeMatrixExp), exp);
  *exp.mutable_results() = PlaceIn("results", 0, 200);
  const auto shared_exp = Answer<v1::MatrixExpResponse>(With(DecodeMatrixExp), exp);
  ASSERT_TRUE(shared_exp.ok()) << shared_exp.status();
  EXPECT_EQ(Placed(shared_exp->result()), plain_exp->result().raw());
  EXPECT_EQ(shared_exp->reports_size(), 1);

  v1::ProjectRequest project;
  *project.mutable_linear()->mutable_x() = Floats({3, 2});
  *project.mutable_linear()->add_w() = Floats({2, 5}, 2);
  *project.mutable_linear()->add_w() = Floats({2, 3}, 3);
  const auto plain = Answer<v1::ProjectResponse>(With(DecodeProject), project);
  *project.mutable_results() = PlaceIn("results", 0, 4096);
  const auto shared = Answer<v1::ProjectResponse>(With(DecodeProject), project);
  ASSERT_TRUE(shared.ok()) << shared.status();
  for (int i : {0, 1}) EXPECT_EQ(Placed(shared->outputs(i)), plain->outputs(i).raw());
}

TEST_F(SharedCallTest, LogarithmsGoThereToo) {
  shared_.Write("results", std::string(512, '?'));
  v1::MatrixLogRequest request;
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {0.7, 0.3, 0.1, 0.9});
  request.set_nearest_generator(true);
  const auto plain = Answer<v1::MatrixLogResponse>(With(DecodeMatrixLog), request);
  Share("a", 3, *request.mutable_a());
  *request.mutable_results() = PlaceIn("results", 0, 96);
  const auto shared = Answer<v1::MatrixLogResponse>(With(DecodeMatrixLog), request);
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_EQ(Placed(shared->result()), plain->result().raw());
  EXPECT_EQ(Placed(shared->nearest_generator()), plain->nearest_generator().raw());
  EXPECT_EQ(shared->reports_size(), 1);
  request.mutable_results()->set_length(95);
  EXPECT_EQ(ViolatedField(DecodeWith(With(DecodeMatrixLog), request).status()), "results.length");
}

TEST_F(SharedCallTest, ARegionTooSmallIsRefusedWithTheBytesNeeded) {
  shared_.Write("results", std::string(4096, '?'));
  v1::ProjectRequest project;  // 60 and 36 bytes: the second starts at 64
  *project.mutable_linear()->mutable_x() = Floats({3, 2});
  *project.mutable_linear()->add_w() = Floats({2, 5}, 2);
  *project.mutable_linear()->add_w() = Floats({2, 3}, 3);
  for (uint64_t length : {99, 63, 0}) {
    *project.mutable_results() = PlaceIn("results", 0, length);
    const absl::Status status = Answer<v1::ProjectResponse>(With(DecodeProject), project).status();
    EXPECT_EQ(ViolatedField(status), "results.length") << status;
    EXPECT_NE(status.message().find("expected 100 bytes"), std::string::npos) << status;
  }
  *project.mutable_results() = PlaceIn("results", 0, 100);
  EXPECT_TRUE(Answer<v1::ProjectResponse>(With(DecodeProject), project).ok());
}

TEST_F(SharedCallTest, LengthAndShapeMustAgree) {
  v1::AttentionRequest request = Attention();
  Share("query", 0, *request.mutable_heads()->mutable_query());
  auto& shared = *request.mutable_heads()->mutable_query()->mutable_shared();
  for (uint64_t length : {0, 1, 119, 121}) {
    shared.set_length(length);
    const absl::Status status = Answer<v1::AttentionResponse>(With(DecodeAttention), request).status();
    EXPECT_EQ(ViolatedField(status), "heads.query") << length;
    EXPECT_NE(status.message().find("bytes of shared"), std::string::npos) << status;
  }
  shared.set_length(120);
  request.mutable_heads()->mutable_query()->set_raw(std::string(120, '\0'));
  const absl::Status doubled = Answer<v1::AttentionResponse>(With(DecodeAttention), request).status();
  EXPECT_NE(doubled.message().find("both raw and shared"), std::string::npos) << doubled;
  request.mutable_heads()->mutable_query()->clear_raw();
  request.mutable_heads()->mutable_query()->clear_dtype();
  EXPECT_EQ(ViolatedField(Answer<v1::AttentionResponse>(With(DecodeAttention), request).status()), "heads.query.dtype");
}

TEST_F(SharedCallTest, InputsTogetherAreBounded) {
  v1::AttentionRequest request = Attention();
  Share("query", 0, *request.mutable_heads()->mutable_query());  // 120 bytes
  Share("key", 0, *request.mutable_heads()->mutable_key());      // 680 bytes
  EXPECT_TRUE(Answer<v1::AttentionResponse>(With(DecodeAttention, 800), request).ok());
  const absl::Status status = Answer<v1::AttentionResponse>(With(DecodeAttention, 799), request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("800 bytes"), std::string::npos) << status;
}

TEST_F(SharedCallTest, InputsCountAsWorkingMemory) {
  v1::AttentionRequest request = Attention();
  const double plain = (*DecodeWith(With(DecodeAttention), request))->WorkspaceBytes(2);
  Share("query", 0, *request.mutable_heads()->mutable_query());
  EXPECT_EQ((*DecodeWith(With(DecodeAttention), request))->WorkspaceBytes(2), plain + 120);
  shared_.Write("results", std::string(4096, '?'));
  *request.mutable_results() = PlaceIn("results", 0, 4096);
  EXPECT_EQ((*DecodeWith(With(DecodeAttention), request))->WorkspaceBytes(2), plain + 120);
}

TEST_F(SharedCallTest, OffByDefault) {
  v1::AttentionRequest request = Attention();
  Share("query", 0, *request.mutable_heads()->mutable_query());
  const Decoder off = WithSharedMemory(DecodeAttention, nullptr, kLimit);
  for (const Decoder& decoder : {off, Decoder(DecodeAttention)}) {
    const absl::Status status = Answer<v1::AttentionResponse>(decoder, request).status();
    EXPECT_EQ(ViolatedField(status), "heads.query.shared");
    EXPECT_NE(status.message().find("--shared_memory_dir"), std::string::npos) << status;
  }
  v1::AttentionRequest results = Attention();
  *results.mutable_results() = PlaceIn("results", 0, 4096);
  EXPECT_EQ(ViolatedField(Answer<v1::AttentionResponse>(off, results).status()), "results");
}

TEST_F(SharedCallTest, MalformedReferencesAreRefused) {
  v1::AttentionRequest request = Attention();
  request.mutable_heads()->mutable_query()->clear_raw();
  *request.mutable_heads()->mutable_query()->mutable_shared() = PlaceIn(std::string(5000, 'n'), 0, 120);
  EXPECT_EQ(Answer<v1::AttentionResponse>(With(DecodeAttention), request).status().code(),
            absl::StatusCode::kInvalidArgument);
  shared_.Write("nan", std::string(120, '\xff'));
  *request.mutable_heads()->mutable_query()->mutable_shared() = PlaceIn("nan", 0, 120);
  const absl::Status status = Answer<v1::AttentionResponse>(With(DecodeAttention), request).status();
  EXPECT_EQ(ViolatedField(status), "heads.query") << status;
}

}  // namespace
}  // namespace attend::rpc
