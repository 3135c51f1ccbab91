// MatrixLog, and the diagnostics of MatrixExp and Attention, from request to answer.
#include "server/rpc/matrix_log_codec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "server/rpc/attention_codec.h"
#include "server/rpc/matrix_exp_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

constexpr double kA = 0.3, kB = 0.1;
const std::vector<double> kTwoStates = {1 - kA, kA, kB, 1 - kB};
const double kFactor = -std::log1p(-kA - kB) / (kA + kB);  // log = factor * (S - I)

TEST(MatrixLogCodec, AnswersWithReportsAndTheNearestGenerator) {
  v1::MatrixLogRequest request;
  std::vector<double> two = kTwoStates;
  two.insert(two.end(), {0.4, 0.6, 0.6, 0.4});
  *request.mutable_a() = RawTensor(v1::DATA_TYPE_FLOAT64, {1, 2, 2, 2}, two);
  request.set_nearest_generator(true);
  const auto answer = Answer<v1::MatrixLogResponse>(DecodeMatrixLog, request, 7);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->result()), (std::vector<int64_t>{1, 2, 2, 2}));
  EXPECT_EQ(ShapeOf(answer->nearest_generator()), (std::vector<int64_t>{1, 2, 2, 2}));
  ASSERT_EQ(answer->reports_size(), 2);
  const std::vector<double> log = ValuesOf<double>(answer->result());
  EXPECT_NEAR(log[1], kA * kFactor, 1e-15);
  EXPECT_TRUE(std::isnan(log[4]));
  EXPECT_EQ(answer->reports(0).verdict(), v1::EMBEDDABILITY_EMBEDDABLE);
  EXPECT_TRUE(answer->reports(0).exists());
  EXPECT_LE(answer->reports(0).residual(), 1e-15);
  EXPECT_EQ(answer->reports(1).verdict(), v1::EMBEDDABILITY_NOT_EMBEDDABLE);
  EXPECT_FALSE(answer->reports(1).exists());
  EXPECT_FALSE(answer->reports(1).obstacle().empty());
}

TEST(MatrixLogCodec, FloatsComeBackAsFloats) {
  v1::MatrixLogRequest request;
  *request.mutable_a() = RawTensor<float>(v1::DATA_TYPE_FLOAT32, {2, 2}, {0.7f, 0.3f, 0.1f, 0.9f});
  const auto answer = Answer<v1::MatrixLogResponse>(DecodeMatrixLog, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->result().dtype(), v1::DATA_TYPE_FLOAT32);
  EXPECT_NEAR(ValuesOf<float>(answer->result())[2], kB * kFactor, 1e-6);
  EXPECT_FALSE(answer->has_nearest_generator());
}

TEST(MatrixLogCodec, RefusesByField) {
  v1::MatrixLogRequest request;
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeMatrixLog, request).status()), "a");
  *request.mutable_a() = Doubles({2, 3});
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeMatrixLog, request).status()), "a");
  *request.mutable_a() = Floats({1025, 1025});
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeMatrixLog, request).status()), "a");
  *request.mutable_a() = RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {1, 1}, {0});
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeMatrixLog, request).status()), "a.dtype");
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {NAN});
  EXPECT_TRUE(absl::IsInvalidArgument(DecodeWith(DecodeMatrixLog, request).status()));
}

TEST(Diagnostics, MatrixExpDescribesEachTimeAsAChain) {
  v1::MatrixExpRequest request;
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {-3, 3, 1, -1});
  request.add_times(0.25);
  request.add_times(1);
  const auto plain = Answer<v1::MatrixExpResponse>(DecodeMatrixExp, request);
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->diagnostics_size(), 0);
  request.set_diagnostics(true);
  const auto answer = Answer<v1::MatrixExpResponse>(DecodeMatrixExp, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->result().raw(), plain->result().raw());
  ASSERT_EQ(answer->diagnostics_size(), 2);
  for (int i = 0; i < 2; ++i) {
    const v1::ChainDiagnostics& chain = answer->diagnostics(i).chain();
    EXPECT_TRUE(answer->diagnostics(i).generator().is_generator());
    EXPECT_EQ(answer->diagnostics(i).generator().distance(), 0);
    EXPECT_TRUE(chain.stochastic());
    // exp of the eigenvalue -4, and pi = (1, 3) / 4.
    EXPECT_NEAR(chain.second_modulus(), std::exp(-4 * request.times(i)), 1e-15);
    EXPECT_NEAR(chain.stationary(0), 0.25, 1e-15);
    EXPECT_EQ(chain.mixing(), v1::MIXING_MIXES);
  }
  // d(t) = 3/4 exp(-4 t), at steps of 1/4: 0.28, then 0.10.
  EXPECT_EQ(answer->diagnostics(0).chain().mixing_time(), 2u);
  EXPECT_EQ(answer->diagnostics(1).chain().mixing_time(), 1u);
}

TEST(Diagnostics, MatrixExpSaysWhatIsNoGenerator) {
  v1::MatrixExpRequest request;
  request.set_diagnostics(true);
  *request.mutable_a() = RawTensor<double>(v1::DATA_TYPE_FLOAT64, {2, 2}, {1, -1, 0, 0});
  const auto answer = Answer<v1::MatrixExpResponse>(DecodeMatrixExp, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->diagnostics(0).generator().is_generator());
  EXPECT_EQ(answer->diagnostics(0).generator().min_off_diagonal(), -1);
  // The nearest is zero.
  EXPECT_NEAR(answer->diagnostics(0).generator().distance(), std::sqrt(2.0), 1e-15);
  EXPECT_FALSE(answer->diagnostics(0).chain().stochastic());
  *request.mutable_apply_to() = Doubles({2, 1});
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeMatrixExp, request).status()), "diagnostics");
}

v1::AttentionRequest SomeAttention(int64_t n, int64_t m) {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = Doubles({2, 3, n, 4}, 1);
  *request.mutable_heads()->mutable_key() = Doubles({2, 3, m, 4}, 2);
  *request.mutable_heads()->mutable_value() = Doubles({2, 3, m, 4}, 3);
  request.set_diagnostics(true);
  return request;
}

TEST(Diagnostics, AttentionDescribesEveryHead) {
  const auto answer = Answer<v1::AttentionResponse>(DecodeAttention, SomeAttention(5, 5));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->has_weights());
  ASSERT_EQ(answer->diagnostics_size(), 6);
  for (const v1::AttentionDiagnostics& diagnostics : answer->diagnostics()) {
    EXPECT_TRUE(diagnostics.chain().stochastic());
    EXPECT_EQ(diagnostics.chain().stationary_size(), 5);
    EXPECT_EQ(diagnostics.chain().eigenvalues_real_size(), 5);
    EXPECT_LT(diagnostics.chain().second_modulus(), 1);
    EXPECT_FALSE(diagnostics.has_softmax_max_difference());
  }
  EXPECT_EQ(ViolatedField(DecodeWith(DecodeAttention, SomeAttention(5, 6)).status()), "diagnostics");
}

TEST(Diagnostics, AttentionMeasuresTheDistanceToSoftmax) {
  v1::AttentionRequest request = SomeAttention(5, 5);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  const auto softmax = Answer<v1::AttentionResponse>(DecodeAttention, request);
  request.mutable_normalization()->mutable_generator_exp()->set_rate(v1::GeneratorExp::RATE_EXP);
  const auto action = Answer<v1::AttentionResponse>(DecodeAttention, request);
  ASSERT_TRUE(softmax.ok() && action.ok()) << action.status();
  EXPECT_FALSE(action->has_scores());
  const std::vector<double> s = ValuesOf<double>(softmax->weights()), e = ValuesOf<double>(action->weights());
  for (int head = 0; head < 6; ++head) {
    double largest = 0, sum = 0;
    for (size_t i = 0; i < 25; ++i) {
      const double difference =
          std::fabs(s[static_cast<size_t>(head) * 25 + i] - e[static_cast<size_t>(head) * 25 + i]);
      largest = std::max(largest, difference);
      sum += difference;
    }
    EXPECT_NEAR(action->diagnostics(head).softmax_max_difference(), largest, 1e-14);
    EXPECT_NEAR(action->diagnostics(head).softmax_mean_difference(), sum / 25, 1e-14);
    EXPECT_GT(action->diagnostics(head).softmax_max_total_variation(), 0);
  }
}

// A causal first row sees one key, the chain is absorbed by it.
TEST(Diagnostics, CausalAttentionIsAbsorbed) {
  v1::AttentionRequest request = SomeAttention(5, 5);
  request.mutable_mask()->set_causal(v1::CAUSAL_TOP_LEFT);
  const auto answer = Answer<v1::AttentionResponse>(DecodeAttention, request);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->diagnostics(0).chain().stationary(0), 1);
  EXPECT_EQ(answer->diagnostics(0).chain().stationary(4), 0);
  EXPECT_EQ(answer->diagnostics(0).chain().closed_classes(), 1u);
}

}  // namespace
}  // namespace attend::rpc
