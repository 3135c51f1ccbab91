#include "server/compute/attention/backward.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

constexpr int64_t kSizes[] = {1, 2, 3, 5, 17, 64, 65, 129};

template <typename T>
class BackwardTest : public testing::Test {
 public:
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor{cancellation};
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(BackwardTest, FloatTypes);

TEST(Backward, AgreesWithDifferencesAtEverySize) {
  uint64_t seed = 0;
  for (const int64_t n : kSizes) {
    for (const int64_t m : kSizes) {
      const int64_t d = kSizes[(n + 3 * m) % 8];
      const int64_t d_value = kSizes[(5 * n + m) % 8];
      ExpectGradientsAreDifferences(RandomCase({1, 2, 1, n, m, d, d_value}, ++seed));
    }
  }
}

TEST(Backward, AgreesAcrossTheBordersOfTilesAndBlocks) {
  for (const Sizes& sizes : {Sizes{1, 1, 1, 130, 257, 3, 5}, Sizes{1, 2, 1, 513, 300, 5, 3},
                             Sizes{1, 1, 1, 140, 1030, 4, 2}, Sizes{1, 1, 1, 1030, 1030, 2, 2}}) {
    AttentionCase c = RandomCase(sizes, 21);
    ExpectGradientsAreDifferences(c);
    c.causal = true;
    c.name += " causal";
    ExpectGradientsAreDifferences(c);
  }
}

TEST(Backward, GroupedHeadsSumIntoTheirKeysAndValues) {
  ExpectGradientsAreDifferences(RandomCase({2, 6, 2, 5, 17, 3, 4}, 22));
  ExpectGradientsAreDifferences(RandomCase({2, 4, 1, 17, 5, 8, 3}, 23));
}

TEST(Backward, EveryCombinationOfMasks) {
  for (const Sizes& s : {Sizes{3, 4, 2, 5, 7, 3, 2}, Sizes{3, 2, 2, 9, 4, 2, 3}}) {
    for (int which = 0; which < 16; ++which) {
      AttentionCase c = RandomCase(s, 26);
      c.name += " masks " + std::to_string(which);
      if (which & 1) c.causal = true;
      if (which & 2) c.alignment = Alignment::kTopLeft;
      if (which & 4) c.key_lengths = {s.m / 2, 0, s.m};
      if (which & 8) FillAllowed(c.allowed, {1, s.heads, s.n, s.m});
      ExpectGradientsAreDifferences(c);
      FillBias(c.bias, {s.batch, s.heads, s.n, s.m});
      ExpectGradientsAreDifferences(c);
    }
  }
}

TEST(Backward, BiasIsSummedOverWhatItStretches) {
  const Sizes s{2, 4, 2, 5, 7, 3, 2};
  for (int stretched = 0; stretched < 16; ++stretched) {
    AttentionCase c = RandomCase(s, 27);
    c.causal = true;
    c.name += " stretched " + std::to_string(stretched);
    FillBias(c.bias, {stretched & 1 ? 1 : s.batch, stretched & 2 ? 1 : s.heads, stretched & 4 ? 1 : s.n,
                      stretched & 8 ? 1 : s.m});
    ExpectGradientsAreDifferences(c);
    c = RandomCase({2, 4, 2, 5, 5, 3, 2}, 28);
    c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.7};
    FillBias(c.bias, {stretched & 1 ? 1 : 2, stretched & 2 ? 1 : 4, stretched & 4 ? 1 : 5, stretched & 8 ? 1 : 5});
    ExpectGradientsAreDifferences(c);
  }
}

TEST(Backward, EveryScoreAndPosition) {
  for (const Sizes& sizes : {Sizes{2, 4, 2, 5, 7, 6, 3}, Sizes{1, 2, 1, 17, 9, 6, 2}, Sizes{1, 1, 1, 130, 270, 2, 2}}) {
    for (AttentionCase& c : EveryScore(sizes)) {
      ExpectGradientsAreDifferences(c);
      c.causal = true;
      c.alignment = Alignment::kTopLeft;
      FillBias(c.bias, {1, c.heads, c.n, c.m});
      ExpectGradientsAreDifferences(c);
    }
  }
}

TYPED_TEST(BackwardTest, AdditiveScoresHaveTheSameBitsWithAnyNumberOfWorkers) {
  AttentionCase c = WithAdditiveScore(RandomCase({1, 4, 2, 600, 70, 4, 3}, 56), 17, 3, 57);
  c.normalization = SoftmaxNormalization{2};
  GradientsByName first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    GradientsByName got;
    ASSERT_TRUE(RunGradients<TypeParam>(c, RandomNormal(4 * 600 * 3, 58), threads, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got, first) << workers << " workers";
  }
}

TYPED_TEST(BackwardTest, HiddenPairsGetNothing) {
  AttentionCase c = RandomCase({1, 1, 1, 7, 4, 3, 5}, 29);
  c.causal = true;  // the first three rows stand before the first key
  c.bias.shape = {1, 1, 7, 4};
  c.bias.data.assign(28, 0.5);
  for (const size_t key : {0, 1, 2, 3}) c.bias.data[4 * 4 + key] = kMinusInfinity;
  c.bias.data[6 * 4 + 2] = kMinusInfinity;
  GradientsByName got;
  ASSERT_TRUE(RunGradients<TypeParam>(c, RandomNormal(35, 30), this->executor, got).ok());
  for (const size_t row : {0, 1, 2, 4}) {
    for (size_t j = 0; j < 3; ++j) EXPECT_EQ(got["query"][row * 3 + j], 0);
    for (size_t j = 0; j < 4; ++j) EXPECT_EQ(got["bias"][row * 4 + j], 0);
  }
  EXPECT_EQ(got["bias"][6 * 4 + 2], 0);
  EXPECT_NE(got["bias"][6 * 4 + 1], 0);
  EXPECT_GT(Largest(got["key"]), 0);
}

TYPED_TEST(BackwardTest, HugeLogitsStayFinite) {
  for (const double scale : {300.0, 1e4, 1e30}) {
    AttentionCase c = RandomCase({1, 2, 1, 65, 130, 16, 4}, 31);
    c.scale = scale;
    GradientsByName got;
    const absl::Status done = RunGradients<TypeParam>(c, RandomNormal(2 * 65 * 4, 32), this->executor, got);
    ASSERT_TRUE(done.ok()) << done;
    for (const auto& [name, gradient] : got) {
      for (const double v : gradient) ASSERT_TRUE(std::isfinite(v)) << name << " at scale " << scale;
    }
    // Each row's weights still sum to about one: the values' gradients to those of the output. The scores' own rounding
    // moves a weight by their size in units of roundoff; past that the sum means nothing.
    if (scale > 1000) continue;
    const double logits = scale * 40;
    double sum = 0;
    double expected = 0;
    for (const double v : got["value"]) sum += v;
    for (const double v : RandomNormal(2 * 65 * 4, 32)) expected += v;
    EXPECT_NEAR(sum, expected, 2 * 65 * 4 * logits * std::numeric_limits<TypeParam>::epsilon());
  }
}

TYPED_TEST(BackwardTest, SameBitsWithAnyNumberOfWorkers) {
  AttentionCase c = RandomCase({2, 4, 2, 600, 1100, 17, 33}, 33);
  c.causal = true;
  c.key_lengths = {1100, 700};
  FillBias(c.bias, {1, 1, 600, 1});
  const std::vector<double> grad_output = RandomNormal(2 * 4 * 600 * 33, 34);
  GradientsByName first;
  for (const int workers : {1, 2, 7}) {
    ThreadExecutor threads(workers);
    GradientsByName got;
    ASSERT_TRUE(RunGradients<TypeParam>(c, grad_output, threads, got).ok());
    if (workers == 1) first = got;
    EXPECT_EQ(got, first) << workers << " workers";
  }
}

TYPED_TEST(BackwardTest, EmptySizes) {
  for (const Sizes& sizes : {Sizes{0, 2, 1, 3, 4, 2, 2}, Sizes{2, 0, 1, 3, 4, 2, 2}, Sizes{2, 2, 1, 0, 4, 2, 2},
                             Sizes{2, 2, 1, 3, 0, 2, 2}, Sizes{2, 2, 1, 3, 4, 2, 0}}) {
    GradientsByName got;
    const AttentionCase c = RandomCase(sizes, 35);
    const int64_t elements = c.batch * c.heads * c.n * c.d_value;
    ASSERT_TRUE(RunGradients<TypeParam>(c, RandomNormal(elements, 36), this->executor, got).ok());
    for (const auto& [name, gradient] : got) EXPECT_EQ(Largest(gradient), 0) << name;
  }
}

TYPED_TEST(BackwardTest, GradientsPastTheLargestNumberAreOutOfRange) {
  AttentionCase c = RandomCase({1, 1, 1, 3, 3, 2, 2}, 37);
  const double huge = sizeof(TypeParam) == 4 ? 1e25 : 1e200;
  c.value.assign(c.value.size(), huge);
  c.value[0] = -huge;
  GradientsByName got;
  EXPECT_EQ(RunGradients<TypeParam>(c, std::vector<double>(6, huge), this->executor, got).code(),
            absl::StatusCode::kOutOfRange);
}

TYPED_TEST(BackwardTest, StopsWhenTheCallIsCancelled) {
  this->cancellation.Cancel();
  AttentionProblem<TypeParam> p;
  p.batch = p.heads = p.kv_heads = 1;
  runtime::BufferPool pool;
  EXPECT_EQ(AttentionBackward(this->executor, pool, p, {}, {}).code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace attend::compute
