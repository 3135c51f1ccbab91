#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>

#include "server/rpc/project_codec.h"
#include "tests/server/rpc/codec_test_util.h"

namespace attend::rpc {
namespace {

using Request = v1::ProjectRequest;

absl::StatusOr<v1::ProjectResponse> Ask(const Request& request) {
  return Answer<v1::ProjectResponse>(DecodeProject, request);
}

Request ByRank(v1::Tensor a, uint32_t rank) {
  Request request;
  *request.mutable_low_rank()->mutable_a() = std::move(a);
  request.mutable_low_rank()->set_rank(rank);
  return request;
}
Request ByEnergy(v1::Tensor a, double energy) {
  Request request;
  *request.mutable_low_rank()->mutable_a() = std::move(a);
  request.mutable_low_rank()->set_energy(energy);
  return request;
}

v1::Tensor Diagonal345() {
  return RawTensor<double>(v1::DATA_TYPE_FLOAT64, {3, 4}, {0, 0, -4, 0, 3, 0, 0, 0, 0, 0, 0, 5});
}

TEST(LowRankCodec, ThreeOutputsAndAReport) {
  const auto answer = Ask(ByRank(Diagonal345(), 2));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->outputs_size(), 3);
  EXPECT_EQ(ShapeOf(answer->outputs(0)), (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(ShapeOf(answer->outputs(1)), (std::vector<int64_t>{2}));
  EXPECT_EQ(ShapeOf(answer->outputs(2)), (std::vector<int64_t>{2, 4}));
  const auto values = ValuesOf<double>(answer->outputs(1));
  EXPECT_NEAR(values[0], 5, 1e-14);
  EXPECT_NEAR(values[1], 4, 1e-14);
  const std::vector<double> u = {0, 1, 0, 0, 1, 0}, vt = {0, 0, 0, 1, 0, 0, -1, 0};
  for (size_t i = 0; i < u.size(); ++i) EXPECT_NEAR(ValuesOf<double>(answer->outputs(0))[i], u[i], 1e-15);
  for (size_t i = 0; i < vt.size(); ++i) EXPECT_NEAR(ValuesOf<double>(answer->outputs(2))[i], vt[i], 1e-15);
  ASSERT_EQ(answer->reports_size(), 1);
  const v1::ProjectReport& report = answer->reports(0);
  EXPECT_NEAR(report.distance(), 3, 1e-14);
  EXPECT_EQ(report.numerical_rank(), 3u);
  EXPECT_NEAR(report.energy(), 41.0 / 50, 1e-15);
  EXPECT_FALSE(report.randomized() || report.rank_is_least());
  EXPECT_EQ(report.distance_over_best(), 1);
}

TEST(LowRankCodec, EnergyChoosesTheRank) {
  const auto two = Ask(ByEnergy(Diagonal345(), 0.8));
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(ShapeOf(two->outputs(1)), (std::vector<int64_t>{2}));
  EXPECT_EQ(ShapeOf(Ask(ByEnergy(Diagonal345(), 0.5))->outputs(1)), (std::vector<int64_t>{1}));
  EXPECT_EQ(ShapeOf(Ask(ByEnergy(Diagonal345(), 1))->outputs(1)), (std::vector<int64_t>{3}));
}

// Flat: half of the singular values are 1, the others 0, and a sketch of a few vectors sees only that.
TEST(LowRankCodec, NearEnoughIsWhatTheRequestSays) {
  constexpr int64_t kSide = 512;
  std::vector<float> values(kSide * kSide, 0.0f);
  for (int64_t i = 0; i < kSide / 2; ++i) values[i * kSide + (7 * i) % kSide] = 1;
  Request request = ByRank(RawTensor<float>(v1::DATA_TYPE_FLOAT32, {kSide, kSide}, values), 2);
  const auto randomized = Ask(request);
  ASSERT_TRUE(randomized.ok()) << randomized.status();
  EXPECT_TRUE(randomized->reports(0).randomized());
  EXPECT_LE(randomized->reports(0).distance_over_best(), 1.0001);
  EXPECT_LE(randomized->reports(0).distance(), 1.0001 * std::sqrt(254.0));
  request.mutable_low_rank()->set_max_distance_over_best(1);
  const auto exact = Ask(request);
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_FALSE(exact->reports(0).randomized());
  EXPECT_EQ(exact->reports(0).residual(), 0);
  EXPECT_NEAR(exact->reports(0).distance(), std::sqrt(254.0), 1e-4);
}

TEST(LowRankCodec, LeadingDimensionsAndHalves) {
  v1::Tensor a = RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {2, 1, 2, 3}, std::vector<uint16_t>(12, 0x3F80));
  const auto answer = Ask(ByRank(a, 1));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ShapeOf(answer->outputs(0)), (std::vector<int64_t>{2, 1, 2, 1}));
  EXPECT_EQ(ShapeOf(answer->outputs(1)), (std::vector<int64_t>{2, 1, 1}));
  EXPECT_EQ(ShapeOf(answer->outputs(2)), (std::vector<int64_t>{2, 1, 1, 3}));
  EXPECT_EQ(answer->outputs(0).dtype(), v1::DATA_TYPE_BFLOAT16);
  EXPECT_EQ(answer->reports_size(), 2);
}

double Bfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
uint16_t ToBfloat16(float value) { return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16); }

TEST(LowRankCodec, DistancesOfHalvesAreOfWhatIsAnswered) {
  constexpr int64_t n = 5, m = 4, rank = 2;
  std::vector<uint16_t> bits;
  for (int64_t i = 0; i < n * m; ++i) bits.push_back(ToBfloat16(std::sin(static_cast<float>(i * i + 1))));
  const auto answer = Ask(ByRank(RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {n, m}, bits), rank));
  ASSERT_TRUE(answer.ok()) << answer.status();
  const auto u = ValuesOf<uint16_t>(answer->outputs(0)), s = ValuesOf<uint16_t>(answer->outputs(1)),
             vt = ValuesOf<uint16_t>(answer->outputs(2));
  double square = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      double rest = Bfloat16(bits[i * m + j]);
      for (int64_t k = 0; k < rank; ++k) rest -= Bfloat16(u[i * rank + k]) * Bfloat16(s[k]) * Bfloat16(vt[k * m + j]);
      square += rest * rest;
    }
  }
  EXPECT_NEAR(answer->reports(0).distance(), std::sqrt(square), 1e-14);
  EXPECT_GT(answer->reports(0).distance_over_best(), 1.000001);
}

TEST(LowRankCodec, SingularValuesBeyondFloat16AreInfiniteAndSoIsTheDistance) {
  const std::vector<uint16_t> largest(9, 0x7BFF);  // 65504: the singular value is three times that
  const auto answer = Ask(ByRank(RawTensor<uint16_t>(v1::DATA_TYPE_FLOAT16, {3, 3}, largest), 1));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(ValuesOf<uint16_t>(answer->outputs(1))[0], 0x7C00);
  EXPECT_EQ(answer->reports(0).distance(), HUGE_VAL);
  EXPECT_EQ(answer->reports(0).distance_over_best(), HUGE_VAL);
}

// Near enough before rounding but not after, where the exact method is near enough after it.
TEST(LowRankCodec, RoundingCountsForWhatIsNearEnough) {
  constexpr int64_t kSide = 512;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<uint16_t> bits(kSide * kSide);
  for (uint16_t& each : bits) each = ToBfloat16(normal(random));
  Request request = ByRank(RawTensor<uint16_t>(v1::DATA_TYPE_BFLOAT16, {kSide, kSide}, bits), 8);
  const auto sketched = Ask(request);
  ASSERT_TRUE(sketched.ok()) << sketched.status();
  ASSERT_TRUE(sketched->reports(0).randomized());
  const double most = sketched->reports(0).distance_over_best() - 1e-9;
  request.mutable_low_rank()->set_max_distance_over_best(most);
  const auto exact = Ask(request);
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_FALSE(exact->reports(0).randomized());
  EXPECT_LE(exact->reports(0).distance_over_best(), most);
  EXPECT_GT(exact->reports(0).distance_over_best(), 1 + 1e-9);
}

TEST(LowRankCodec, EmptyMatrices) {
  const auto rows = Ask(ByRank(Floats({0, 4}), 0));
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(ShapeOf(rows->outputs(0)), (std::vector<int64_t>{0, 0}));
  EXPECT_EQ(ShapeOf(rows->outputs(2)), (std::vector<int64_t>{0, 4}));
  const auto batch = Ask(ByEnergy(Floats({0, 3, 4}), 0.5));
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->reports_size(), 0);
  EXPECT_TRUE(Ask(ByEnergy(Floats({2, 3, 0}), 0.5)).ok());
}

TEST(LowRankCodec, RefusesWithTheFieldsName) {
  Request nothing, no_size;
  nothing.mutable_low_rank()->set_rank(1);
  *no_size.mutable_low_rank()->mutable_a() = Floats({3, 4});
  const auto near_enough = [](double most) {
    Request request = ByRank(Floats({3, 4}), 1);
    request.mutable_low_rank()->set_max_distance_over_best(most);
    return request;
  };
  const std::pair<std::string, Request> bad[] = {
      {"low_rank.max_distance_over_best", near_enough(0.9999)},
      {"low_rank.max_distance_over_best", near_enough(std::nan(""))},
      {"low_rank.max_distance_over_best", near_enough(INFINITY)},
      {"low_rank.a", nothing},
      {"low_rank.size", no_size},
      {"low_rank.a.shape", ByRank(Floats({4}), 1)},
      {"low_rank.rank", ByRank(Floats({3, 4}), 4)},
      {"low_rank.rank", ByRank(Floats({3, 4}), 0)},
      {"low_rank.rank", ByRank(Floats({0, 4}), 1)},
      {"low_rank.energy", ByEnergy(Floats({3, 4}), 0)},
      {"low_rank.energy", ByEnergy(Floats({3, 4}), 1.0000001)},
      {"low_rank.energy", ByEnergy(Floats({3, 4}), -0.5)},
      {"low_rank.energy", ByEnergy(Floats({3, 4}), std::nan(""))},
      {"low_rank.a", ByRank(RawTensor<double>(v1::DATA_TYPE_FLOAT64, {1, 1}, {INFINITY}), 1)}};
  for (const auto& [field, request] : bad) {
    const auto operation = DecodeWith(DecodeProject, request);
    EXPECT_EQ(operation.status().code(), absl::StatusCode::kInvalidArgument) << operation.status();
    EXPECT_EQ(ViolatedField(operation.status()), field) << operation.status();
  }
}

}  // namespace
}  // namespace attend::rpc
