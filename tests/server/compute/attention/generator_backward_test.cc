#include <gtest/gtest.h>

#include "server/compute/attention/backward.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {
namespace {

template <typename T>
class GeneratorBackwardTest : public testing::Test {};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(GeneratorBackwardTest, FloatTypes);

TEST(GeneratorBackward, EveryScoreAndPosition) {
  for (AttentionCase& c : EveryScore({2, 4, 2, 7, 7, 6, 3})) {
    c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.5};
    ExpectGradientsAreDifferences(c);
  }
}

TEST(GeneratorBackward, AgreesWithDifferencesAtEverySize) {
  for (const int64_t n : {1, 2, 3, 5, 17, 65}) {
    for (const Rate rate : {Rate::kExp, Rate::kSoftplus, Rate::kRelu}) {
      for (const double time : {0.0, 0.01, 0.7}) {
        if (rate == Rate::kRelu && n > 17) continue;  // some of its many kinks lie within a difference's step
        AttentionCase c = RandomCase({2, 4, 2, n, n, 1 + n % 7, 1 + n % 5}, static_cast<uint64_t>(40 + n));
        c.normalization = GeneratorExpNormalization{rate, time};
        c.name += " rate " + std::to_string(static_cast<int>(rate)) + " time " + std::to_string(time);
        ExpectGradientsAreDifferences(c);
      }
    }
  }
}

TEST(GeneratorBackward, MaskedPairsHaveNoPart) {
  AttentionCase c = RandomCase({2, 2, 1, 17, 17, 4, 3}, 41);
  c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.5};
  c.causal = true;
  c.key_lengths = {17, 9};
  FillAllowed(c.allowed, {1, 1, 17, 17});
  FillBias(c.bias, {1, 2, 1, 17});
  ExpectGradientsAreDifferences(c);
}

// Rates of thousands: what a rate's slope is the difference of is thousands of times larger than it.
TEST(GeneratorBackward, FastRatesKeepFloatsGradients) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  for (const int64_t n : {2, 5, 17}) {
    AttentionCase c = RandomCase({1, 2, 1, n, n, 3, 4}, 45);
    c.normalization = GeneratorExpNormalization{Rate::kExp, 1};
    c.bias.shape = {1, 1, 1, 1};
    c.bias.data = {8};
    const std::vector<double> grad_output = RandomNormal(2 * n * 4, 46);
    GradientsByName want;
    GradientsByName got;
    ASSERT_TRUE(RunGradients<double>(c, grad_output, executor, want).ok());
    ASSERT_TRUE(RunGradients<float>(c, grad_output, executor, got).ok());
    for (const char* name : {"query", "key", "value"}) {
      // Scores of about 10 are off by 10 units of float's roundoff, and their rates by as much of themselves; the
      // slopes' own roundings stay below that. Ten times it, for the sums over n and what cancels in them.
      EXPECT_TRUE(
          AllNear(got[name], want[name], 100 * std::numeric_limits<float>::epsilon() * (Largest(want[name]) + 1)))
          << name << " of " << n;
    }
  }
}

TEST(GeneratorBackward, LargeHeadsAreSplit) {
  AttentionCase c = RandomCase({1, 2, 1, 300, 300, 5, 3}, 42);
  c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.02};
  c.causal = true;
  ExpectGradientsAreDifferences(c);
}

TYPED_TEST(GeneratorBackwardTest, SameBitsWithAnyNumberOfWorkers) {
  for (const int64_t n : {33, 300}) {
    AttentionCase c = RandomCase({1, 4, 2, n, n, 5, 3}, 43);
    c.normalization = GeneratorExpNormalization{Rate::kSoftplus, 0.02};
    FillBias(c.bias, {1, 1, 1, 1});
    c.bias.data = {0.25};
    GradientsByName first;
    for (const int workers : {1, 2, 7}) {
      ThreadExecutor threads(workers);
      GradientsByName got;
      ASSERT_TRUE(RunGradients<TypeParam>(c, RandomNormal(4 * n * 3, 44), threads, got).ok());
      if (workers == 1) first = got;
      EXPECT_EQ(got, first) << workers << " workers";
    }
  }
}

}  // namespace
}  // namespace attend::compute
