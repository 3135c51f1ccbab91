#include "server/compute/attention/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65, 129};

template <typename T>
class AttentionTest : public testing::Test {
 public:
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionTest, FloatTypes);

TYPED_TEST(AttentionTest, AgreesWithTheOracleAtEverySize) {
  uint64_t seed = 0;
  for (const int64_t n : kSizes) {
    for (const int64_t m : kSizes) {
      const int64_t d = kSizes[(n + 3 * m) % 8];
      const int64_t d_value = kSizes[(5 * n + m) % 8];
      ExpectAgreement<TypeParam>(RandomCase({1, 2, 1, n, m, d, d_value}, ++seed));
    }
  }
}

TYPED_TEST(AttentionTest, AgreesAcrossTheBordersOfKeyBlocks) {
  for (const int64_t m : {383, 384, 385, 511, 512, 513, 1025, 1100}) {
    AttentionCase c = RandomCase({1, 1, 1, 130, m, 17, 5}, static_cast<uint64_t>(m));
    ExpectAgreement<TypeParam>(c);
    c.causal = true;
    c.name += " causal";
    ExpectAgreement<TypeParam>(c);
  }
}

TYPED_TEST(AttentionTest, GroupedHeadsShareTheirKeysAndValues) {
  ExpectAgreement<TypeParam>(RandomCase({2, 6, 2, 5, 17, 3, 4}, 1));
  ExpectAgreement<TypeParam>(RandomCase({2, 4, 1, 17, 5, 8, 3}, 2));
  ExpectAgreement<TypeParam>(RandomCase({1, 3, 3, 65, 64, 5, 2}, 3));
}

template <typename T>
void Fill(BroadcastCase<T>& tensor, std::array<int64_t, 4> shape, uint64_t seed, T (*convert)(double)) {
  tensor.shape = shape;
  for (const double v : RandomNormal(shape[0] * shape[1] * shape[2] * shape[3], seed))
    tensor.data.push_back(convert(v));
}

uint8_t MostlyTrue(double v) { return v < 0.7 ? 1 : 0; }
double Bias(double v) { return v > 1.2 ? kMinusInfinity : static_cast<double>(static_cast<float>(2 * v)); }

// Every way to broadcast that the contract has a use for, and none.
std::vector<std::array<int64_t, 4>> BroadcastShapes(const AttentionCase& c) {
  return {{0, 0, 0, 0},         {c.batch, 1, 1, c.m},         {1, c.heads, c.n, c.m},
          {c.batch, 1, c.n, 1}, {c.batch, c.heads, c.n, c.m}, {1, 1, 1, 1}};
}

template <typename T>
void CheckMasks(const AttentionCase& plain) {
  for (const auto& allowed : BroadcastShapes(plain)) {
    for (const auto& bias : BroadcastShapes(plain)) {
      AttentionCase c = plain;
      if (allowed[0] != 0) Fill<uint8_t>(c.allowed, allowed, 11, MostlyTrue);
      if (bias[0] != 0) Fill<double>(c.bias, bias, 12, Bias);
      c.name += " allowed " + testing::PrintToString(allowed) + " bias " + testing::PrintToString(bias);
      ExpectAgreement<T>(c);
    }
  }
}

template <typename T>
void CheckMasksAndBands(const Sizes& sizes) {
  for (const bool causal : {false, true}) {
    for (const Alignment alignment : {Alignment::kBottomRight, Alignment::kTopLeft}) {
      if (!causal && alignment == Alignment::kTopLeft) continue;
      for (const bool lengths : {false, true}) {
        AttentionCase c = RandomCase(sizes, 5);
        c.causal = causal;
        c.alignment = alignment;
        if (lengths) c.key_lengths = {sizes.m / 2, 0, sizes.m};
        c.name += causal ? alignment == Alignment::kTopLeft ? " top left" : " bottom right" : "";
        c.name += lengths ? " lengths" : "";
        CheckMasks<T>(c);
      }
    }
  }
}

TYPED_TEST(AttentionTest, EveryCombinationOfMasks) {
  CheckMasksAndBands<TypeParam>({3, 2, 1, 5, 7, 3, 2});
  CheckMasksAndBands<TypeParam>({3, 2, 2, 9, 4, 2, 3});
  CheckMasksAndBands<TypeParam>({3, 1, 1, 33, 65, 4, 1});
}

TYPED_TEST(AttentionTest, MasksAcrossTheBordersOfTiles) {
  AttentionCase c = RandomCase({3, 2, 1, 131, 700, 3, 2}, 6);
  c.causal = true;
  c.key_lengths = {513, 699, 1};
  Fill<uint8_t>(c.allowed, {1, 2, 131, 700}, 13, MostlyTrue);
  Fill<double>(c.bias, {3, 1, 131, 700}, 14, Bias);
  ExpectAgreement<TypeParam>(c);
}

TYPED_TEST(AttentionTest, RowWithoutKeysIsZero) {
  AttentionCase c = RandomCase({1, 1, 1, 7, 4, 3, 5}, 7);
  c.causal = true;  // the first three rows stand before the first key
  c.bias.shape = {1, 1, 7, 1};
  c.bias.data = {0, 0, 0, 0, kMinusInfinity, 0, 0};
  Answer got;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  for (const size_t row : {0, 1, 2, 4}) {
    EXPECT_EQ(got.lse[row], kMinusInfinity);
    EXPECT_EQ(got.entropy[row], 0);
    for (size_t j = 0; j < 5; ++j) EXPECT_EQ(got.output[row * 5 + j], 0);
    for (size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(got.weights[row * 4 + j], 0);
      EXPECT_EQ(got.scores[row * 4 + j], kMinusInfinity);
    }
  }
  EXPECT_TRUE(std::isfinite(got.lse[3]));
}

TYPED_TEST(AttentionTest, EmptySizes) {
  for (const Sizes& sizes : {Sizes{0, 2, 1, 3, 4, 2, 2}, Sizes{2, 0, 1, 3, 4, 2, 2}, Sizes{2, 2, 1, 0, 4, 2, 2},
                             Sizes{2, 2, 1, 3, 0, 2, 2}, Sizes{2, 2, 1, 3, 4, 2, 0}}) {
    ExpectAgreement<TypeParam>(RandomCase(sizes, 8));
  }
}

TYPED_TEST(AttentionTest, LargeLogitsAreAsExactAsTheirScores) {
  for (const double scale : {300.0, 1e4}) {
    AttentionCase c = RandomCase({1, 2, 1, 65, 130, 16, 4}, 9);
    c.scale = scale;
    ExpectAgreement<TypeParam>(c);
  }
}

// Powers of two and small integers: the scores are exact, so softmax is too.
TYPED_TEST(AttentionTest, ScoresOfTenToThe30PickTheLargest) {
  AttentionCase c = RandomCase({1, 1, 1, 2, 3, 1, 1}, 10);
  const double huge = std::ldexp(1, 100);
  c.query = {1, -1};
  c.key = {huge, -huge, huge};
  c.value = {1, 2, 5};
  c.scale = 1;
  Answer got;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  EXPECT_EQ(got.output, (std::vector<double>{3, 2}));
  EXPECT_EQ(got.weights, (std::vector<double>{0.5, 0, 0.5, 0, 1, 0}));
  EXPECT_EQ(got.lse, (std::vector<double>{huge, huge}));
  EXPECT_NEAR(got.entropy[0], std::log(2), 1e-6);
  EXPECT_EQ(got.entropy[1], 0);
}

TEST(Attention, ScoresPastTheLargestNumberAreOutOfRange) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  AttentionCase c = RandomCase({1, 1, 1, 5, 700, 2, 3}, 11);
  c.query[4] = 1e20;
  c.query[5] = 1e20;
  for (const double second : {1e20, -1e20}) {
    for (const int64_t key : {0, 699}) {
      AttentionCase bad = c;
      bad.key[static_cast<size_t>(2 * key)] = 1e20;
      bad.key[static_cast<size_t>(2 * key + 1)] = second;
      Answer got;
      const absl::Status done = RunCase<float>(bad, executor, Wanted::kEverything, got);
      EXPECT_EQ(done.code(), absl::StatusCode::kOutOfRange) << done;
      EXPECT_NE(done.message().find("FLOAT32"), std::string::npos) << done;
      EXPECT_TRUE(RunCase<double>(bad, executor, Wanted::kEverything, got).ok());
    }
  }
}

TYPED_TEST(AttentionTest, ScoresThatAreHiddenMayOverflow) {
  const double huge = sizeof(TypeParam) == 4 ? 1e30 : 1e200;
  AttentionCase c = RandomCase({1, 1, 1, 20, 20, 4, 3}, 12);
  c.causal = true;
  c.query.back() = huge;
  c.query.front() = huge;
  AttentionCase tame = c;
  tame.query.back() = 0;
  for (size_t j = 0; j < 4; ++j) {
    c.key[19 * 4 + j] = huge;  // only the last query sees it, and it does not see the last key: it is masked
    tame.key[19 * 4 + j] = 0;
  }
  for (AttentionCase* which : {&c, &tame}) {
    which->allowed.shape = {1, 1, 1, 20};
    which->allowed.data.assign(20, 1);
    which->allowed.data.back() = 0;
  }
  Answer got;
  Answer want;
  ASSERT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
  ASSERT_TRUE(RunCase<TypeParam>(tame, this->executor, Wanted::kEverything, want).ok());
  got.output.resize(19 * 3);  // the last query differs
  want.output.resize(19 * 3);
  EXPECT_EQ(got.output, want.output);
}

TEST(Attention, SumsPastTheLargestNumberAreOutOfRange) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  AttentionCase c = RandomCase({1, 1, 1, 3, 65, 2, 2}, 13);
  c.value.assign(c.value.size(), 3e38);
  Answer got;
  EXPECT_EQ(RunCase<float>(c, executor, Wanted::kOutputOnly, got).code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(RunCase<double>(c, executor, Wanted::kOutputOnly, got).ok());
}

// Ordinary inputs: d = 64, scale 1 / 8. The weights are good to about 2e-7; the sums of 1300 products, which cancel to
// a twentieth of their terms' size, lose about as much as any float32 product does: sqrt(512) roundings of 6e-8 in a
// block.
TEST(Attention, Float32LosesAboutOneMillionth) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const AttentionCase c = RandomCase({1, 2, 2, 300, 1300, 64, 64}, 14);
  Answer got;
  ASSERT_TRUE(RunCase<float>(c, executor, Wanted::kEverything, got).ok());
  const Answer want = Oracle(c);
  double mean = 0;
  for (size_t row = 0; row < want.lse.size(); ++row) {
    double largest = 0;
    double worst = 0;
    for (size_t j = row * 64; j < row * 64 + 64; ++j) {
      largest = std::max(largest, std::fabs(want.output[j]));
      worst = std::max(worst, std::fabs(want.output[j] - got.output[j]));
    }
    ASSERT_LE(worst / largest, 1.5e-6) << "row " << row;
    mean += worst / largest / static_cast<double>(want.lse.size());
  }
  EXPECT_LE(mean, 5e-7);
  EXPECT_TRUE(AllNear(got.lse, want.lse, 1e-6));
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, 1e-6));
}

TYPED_TEST(AttentionTest, SameBitsWithAnyNumberOfWorkers) {
  AttentionCase c = RandomCase({2, 2, 1, 300, 700, 17, 33}, 15);
  c.causal = true;
  c.key_lengths = {700, 500};
  Answer first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    Answer got;
    ASSERT_TRUE(RunCase<TypeParam>(c, threads, Wanted::kEverything, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got.output, first.output) << workers << " workers";
    EXPECT_EQ(got.weights, first.weights) << workers << " workers";
    EXPECT_EQ(got.lse, first.lse) << workers << " workers";
    EXPECT_EQ(got.entropy, first.entropy) << workers << " workers";
  }
}

TYPED_TEST(AttentionTest, StopsWhenTheCallIsCancelled) {
  this->cancellation.Cancel();
  Answer got;
  const AttentionCase c = RandomCase({1, 1, 1, 3, 3, 2, 2}, 16);
  EXPECT_EQ(RunCase<TypeParam>(c, this->executor, Wanted::kOutputOnly, got).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace attend::compute
