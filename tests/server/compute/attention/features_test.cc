// Every score, position, window, slope, cap and normalization, alone at many sizes and all with each other.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65, 129};

template <typename T>
class AttentionFeatures : public testing::Test {
 public:
  Answer Run(const AttentionCase& c) {
    Answer answer;
    const absl::Status done = RunCase<T>(c, executor, Wanted::kEverything, answer);
    EXPECT_TRUE(done.ok()) << c.name << ": " << done;
    return answer;
  }

  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(AttentionFeatures, FloatTypes);

void SetMasks(AttentionCase& c, int masks) {
  c.name += " masks " + std::to_string(masks);
  if (masks & 1) {
    for (int64_t h = 0; h < c.heads; ++h) c.alibi_slopes.push_back(std::ldexp(1, static_cast<int>(-h)));
  }
  if (masks & 2) c.key_lengths = {c.m - 1, c.m / 2};
  if (masks & 4) {
    c.allowed.shape = {1, c.heads, c.n, c.m};
    for (const double v : RandomNormal(c.heads * c.n * c.m, 31)) c.allowed.data.push_back(v < 0.9 ? 1 : 0);
  }
  if (masks & 8) {
    c.bias.shape = {c.batch, 1, 1, c.m};
    c.bias.data = RandomNormal(c.batch * c.m, 32);
  }
}

std::vector<AttentionCase> EveryScore(const AttentionCase& c) {
  return {c, WithAdditiveScore(c, 3, 2, 41), WithBilinearScore(c, 6, 42)};
}

const std::vector<Position>& EveryPosition() {
  static const auto* const positions = new std::vector<Position>{NoPosition{}, SinusoidalPosition{10000},
                                                                 RotaryPosition{10000, false}, RotaryPosition{7, true}};
  return *positions;
}

// Windows and causal masks, each as a change of the case.
std::vector<AttentionCase> EveryBand(const AttentionCase& c) {
  std::vector<AttentionCase> cases;
  for (const int causal : {0, 1, 2}) {
    for (const int window : {0, 1, 2, 3}) {
      cases.push_back(c);
      AttentionCase& banded = cases.back();
      banded.name += " causal " + std::to_string(causal) + " window " + std::to_string(window);
      banded.causal = causal != 0;
      if (causal == 2) banded.alignment = Alignment::kTopLeft;
      if (window & 1) banded.window_left = 2;
      if (window & 2) banded.window_right = 1;
    }
  }
  return cases;
}

template <typename T>
void CheckEverything(const Sizes& sizes, const Normalization& normalization) {
  AttentionCase plain = RandomCase(sizes, 51);
  plain.normalization = normalization;
  for (const AttentionCase& scored : EveryScore(plain)) {
    for (const Position& position : EveryPosition()) {
      AttentionCase placed = scored;
      placed.position = position;
      placed.name += " position " + std::to_string(position.index());
      for (const AttentionCase& banded : EveryBand(placed)) {
        for (int masks = 0; masks < 16; ++masks) {
          AttentionCase c = banded;
          SetMasks(c, masks);
          ExpectAgreement<T>(c);
        }
      }
    }
  }
}

TYPED_TEST(AttentionFeatures, EveryCombinationWithSoftmax) {
  CheckEverything<TypeParam>({2, 4, 2, 5, 7, 4, 3}, SoftmaxNormalization{});
}

TYPED_TEST(AttentionFeatures, EveryCombinationWithSoftcap) {
  CheckEverything<TypeParam>({2, 2, 1, 7, 5, 4, 3}, SoftmaxNormalization{1.5});
}

TYPED_TEST(AttentionFeatures, EveryCombinationWithGeneratorExp) {
  CheckEverything<TypeParam>({2, 2, 1, 5, 5, 4, 3}, GeneratorExpNormalization{Rate::kSoftplus, 0.3});
}

TYPED_TEST(AttentionFeatures, AdditiveScoresOfEverySize) {
  uint64_t seed = 60;
  for (const int64_t n : kSizes) {
    for (const int64_t m : kSizes) {
      const int64_t h = kSizes[(n + 3 * m) % 8];
      const int64_t d = kSizes[(5 * n + m) % 8];
      const int64_t d_key = kSizes[(3 * n + 7 * m) % 8];
      ++seed;
      ExpectAgreement<TypeParam>(WithAdditiveScore(RandomCase({1, 2, 1, n, m, d, 3}, seed), h, d_key, seed));
    }
  }
}

TYPED_TEST(AttentionFeatures, BilinearScoresOfEverySize) {
  uint64_t seed = 160;
  for (const int64_t n : kSizes) {
    for (const int64_t d : kSizes) {
      const int64_t m = kSizes[(n + 3 * d) % 8];
      const int64_t d_key = kSizes[(3 * n + 7 * d) % 8];
      ++seed;
      ExpectAgreement<TypeParam>(WithBilinearScore(RandomCase({2, 2, 1, n, m, d, 3}, seed), d_key, seed));
    }
  }
}

// Rows past those of one angle table's step, and of one tile of work.
TYPED_TEST(AttentionFeatures, PositionsOfManyPlaces) {
  for (const Position& position : EveryPosition()) {
    for (const Sizes& sizes : {Sizes{1, 2, 1, 65, 300, 6, 3}, Sizes{2, 1, 1, 300, 129, 2, 3}}) {
      AttentionCase c = RandomCase(sizes, 71);
      c.position = position;
      c.name += " position " + std::to_string(position.index());
      ExpectAgreement<TypeParam>(c);
      c.alignment = Alignment::kTopLeft;
      c.causal = true;
      ExpectAgreement<TypeParam>(c);
    }
  }
}

TYPED_TEST(AttentionFeatures, SinusoidsOfAnOddNumberOfColumns) {
  for (const int64_t d : {1, 3, 5, 17}) {
    AttentionCase c = RandomCase({1, 1, 1, 5, 7, d, 2}, 72);
    c.position = SinusoidalPosition{50};
    ExpectAgreement<TypeParam>(c);
  }
}

TYPED_TEST(AttentionFeatures, BandsAcrossTheBordersOfTiles) {
  for (const int64_t left : {0, 1, 100, 513, 900}) {
    for (const int64_t right : {0, 3, 130, 600}) {
      AttentionCase c = RandomCase({2, 2, 1, 131, 1100, 5, 2}, 81);
      c.name += " window " + std::to_string(left) + " to " + std::to_string(right);
      c.window_left = left;
      c.window_right = right;
      c.alibi_slopes = {0.01, -0.001};
      c.key_lengths = {1100, 1030};
      ExpectAgreement<TypeParam>(c);
    }
  }
  AttentionCase c = WithAdditiveScore(RandomCase({1, 2, 1, 131, 700, 5, 2}, 82), 70, 3, 82);
  c.causal = true;
  c.window_left = 530;
  ExpectAgreement<TypeParam>(c);
}

TYPED_TEST(AttentionFeatures, AWindowOfNothingElseIsTheQuerysOwnPlace) {
  AttentionCase c = RandomCase({1, 1, 1, 4, 6, 3, 2}, 83);
  c.window_left = c.window_right = 0;
  const Answer got = this->Run(c);
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 6; ++j) EXPECT_EQ(got.weights[i * 6 + j], j == i + 2 ? 1 : 0) << i << ", " << j;
  }
}

// A tile that is computed multiplies its values, and 0 * NaN is NaN.
TYPED_TEST(AttentionFeatures, TilesThatAreHiddenAsAWholeAreSkipped) {
  AttentionCase c = RandomCase({1, 1, 1, 300, 3000, 4, 2}, 84);
  c.causal = true;
  c.window_left = 50;
  AttentionCase poisoned = c;
  // The first query stands at 2700 and sees 2650 on; the last block's tiles end at 3000.
  for (size_t e = 0; e < 2650 * 2; ++e) poisoned.value[e] = std::nan("");
  EXPECT_EQ(this->Run(poisoned).output, this->Run(c).output);
  c.causal = poisoned.causal = false;
  c.alignment = poisoned.alignment = Alignment::kTopLeft;
  c.window_right = poisoned.window_right = 10;
  poisoned.value = c.value;
  for (size_t e = 310 * 2; e < poisoned.value.size(); ++e) poisoned.value[e] = std::nan("");
  EXPECT_EQ(this->Run(poisoned).output, this->Run(c).output);
}

TYPED_TEST(AttentionFeatures, SoftcapsAtTheEnds) {
  AttentionCase c = RandomCase({1, 1, 1, 5, 7, 4, 2}, 91);
  const Answer uncapped = this->Run(c);
  c.normalization = SoftmaxNormalization{1e300};
  const Tolerance tolerance = ToleranceFor(c, std::numeric_limits<TypeParam>::epsilon());
  EXPECT_TRUE(AllNear(this->Run(c).output, uncapped.output, tolerance.output));
  c.normalization = SoftmaxNormalization{1e-300};  // all scores are 0: the mean
  for (const double weight : this->Run(c).weights) EXPECT_NEAR(weight, 1.0 / 7, 1e-7);
  c.scale = sizeof(TypeParam) == 4 ? 1e37 : 1e300;
  c.normalization = SoftmaxNormalization{2};
  for (const double score : this->Run(c).scores) EXPECT_EQ(std::fabs(score), 2);
}

TYPED_TEST(AttentionFeatures, RotaryAnglesPastEveryNumberStayRotations) {
  for (const double base : {5e-324, 1e-300, 1e300}) {
    AttentionCase c = RandomCase({1, 1, 1, 3, 4, 128, 2}, 92);
    c.position = RotaryPosition{base, false};
    const Answer got = this->Run(c);
    for (const double v : got.output) EXPECT_TRUE(std::isfinite(v)) << base;
  }
}

TYPED_TEST(AttentionFeatures, RotaryScoresDependOnDistancesAlone) {
  AttentionCase c = RandomCase({1, 1, 1, 17, 17, 8, 3}, 93);
  c.position = RotaryPosition{};
  const Answer want = this->Run(c);
  // 1000 keys before, hidden.
  AttentionCase later = c;
  later.m = 1017;
  later.key.insert(later.key.begin(), 1000 * 8, 0.0);
  later.value.insert(later.value.begin(), 1000 * 3, 0.0);
  later.allowed.shape = {1, 1, 1, 1017};
  for (int j = 0; j < 1017; ++j) later.allowed.data.push_back(j >= 1000);
  const Tolerance tolerance = ToleranceFor(c, std::numeric_limits<TypeParam>::epsilon());
  EXPECT_TRUE(AllNear(this->Run(later).output, want.output, 2 * tolerance.output));
}

TYPED_TEST(AttentionFeatures, SlopesPastTheLargestNumberAreOutOfRangeOnlyWhereSeen) {
  AttentionCase c = RandomCase({1, 1, 1, 4, 4, 2, 2}, 94);
  c.alibi_slopes = {sizeof(TypeParam) == 4 ? 3e38 : 1.5e308};
  Answer got;
  EXPECT_EQ(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).code(), absl::StatusCode::kOutOfRange);
  c.window_left = c.window_right = 1;
  EXPECT_TRUE(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).ok());
}

TYPED_TEST(AttentionFeatures, AdditiveProjectionsPastTheLargestNumberAreOutOfRange) {
  AttentionCase c = WithAdditiveScore(RandomCase({1, 1, 1, 3, 4, 2, 2}, 95), 3, 2, 95);
  const double huge = sizeof(TypeParam) == 4 ? 1e30 : 1e200;
  for (double& v : c.w_key) v = huge;
  for (double& v : c.key) v = huge;
  Answer got;
  EXPECT_EQ(RunCase<TypeParam>(c, this->executor, Wanted::kEverything, got).code(), absl::StatusCode::kOutOfRange);
}

TYPED_TEST(AttentionFeatures, AdditiveScoresSaturate) {
  AttentionCase c = WithAdditiveScore(RandomCase({1, 1, 1, 3, 4, 2, 2}, 96), 3, 2, 96);
  const double huge = sizeof(TypeParam) == 4 ? 3e38 : 1e308;
  c.query.assign(c.query.size(), 1);
  c.key.assign(c.key.size(), 1);
  for (double& v : c.w_query) v = huge / 4;
  for (double& v : c.w_key) v = huge / 4;
  const double sum = c.w_score[0] + c.w_score[1] + c.w_score[2];
  for (const double score : this->Run(c).scores) {
    EXPECT_NEAR(score, sum, 8 * std::numeric_limits<TypeParam>::epsilon());
  }
}

TYPED_TEST(AttentionFeatures, SameBitsWithAnyNumberOfWorkers) {
  AttentionCase plain = RandomCase({2, 2, 1, 300, 700, 6, 3}, 97);
  plain.position = RotaryPosition{};
  plain.window_left = 400;
  plain.alibi_slopes = {0.1, 0.2};
  plain.normalization = SoftmaxNormalization{3};
  for (const AttentionCase& c : {plain, WithAdditiveScore(plain, 9, 4, 98), WithBilinearScore(plain, 10, 99)}) {
    Answer first;
    for (const int workers : {1, 2, 7}) {
      ThreadExecutor threads(workers);
      Answer got;
      ASSERT_TRUE(RunCase<TypeParam>(c, threads, Wanted::kEverything, got).ok());
      if (workers == 1) first = got;
      EXPECT_EQ(got.output, first.output) << c.name << ", " << workers << " workers";
      EXPECT_EQ(got.scores, first.scores) << c.name << ", " << workers << " workers";
      EXPECT_EQ(got.lse, first.lse) << c.name << ", " << workers << " workers";
    }
  }
}

TYPED_TEST(AttentionFeatures, EmptySizes) {
  for (const Sizes& sizes : {Sizes{0, 2, 1, 3, 4, 2, 2}, Sizes{2, 2, 1, 0, 4, 2, 2}, Sizes{2, 2, 1, 3, 0, 2, 2},
                             Sizes{2, 2, 1, 3, 4, 2, 0}}) {
    for (AttentionCase c : EveryScore(RandomCase(sizes, 100))) {
      for (const Position& position : EveryPosition()) {
        c.position = position;
        ExpectAgreement<TypeParam>(c);
      }
    }
  }
}

}  // namespace
}  // namespace attend::compute
