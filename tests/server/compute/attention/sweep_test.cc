// Problems with their features drawn at random, every seed another mixture: what no list of combinations thinks of.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/attention/tokens_case.h"

namespace attend::compute {
namespace {

class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}

  int64_t Below(int64_t end) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(end)); }
  bool OneIn(int64_t count) { return Below(count) == 0; }
  template <typename T>
  T Pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(Below(static_cast<int64_t>(from.size())))];
  }
  uint64_t Seed() { return random_() % 1000000 + 1; }

 private:
  std::mt19937_64 random_;
};

Sizes DrawSizes(Dice& dice, const std::vector<int64_t>& lengths, bool square) {
  Sizes s;
  s.batch = dice.OneIn(40) ? 0 : 1 + dice.Below(3);
  s.kv_heads = 1 + dice.Below(3);
  s.heads = s.kv_heads * (1 + dice.Below(3));
  s.n = dice.Pick(lengths);
  s.m = square ? s.n : dice.Pick(lengths);
  s.d = dice.Pick<int64_t>({1, 2, 3, 4, 5, 8, 16, 17, 64});
  s.d_value = dice.Pick<int64_t>({0, 1, 2, 3, 5, 8, 17, 64, 65});
  return s;
}

void DrawScore(Dice& dice, AttentionCase& c) {
  const int64_t d_key = dice.Pick<int64_t>({1, 2, 3, 4, 6, 17});
  switch (dice.Below(3)) {
    case 0:
      c.scale *= dice.Pick<double>({1, 1, 1, -1, 0, 3});
      break;
    case 1:
      c = WithAdditiveScore(std::move(c), dice.Pick<int64_t>({1, 2, 3, 8, 17, 33}), d_key, dice.Seed());
      break;
    default:
      c = WithBilinearScore(std::move(c), d_key, dice.Seed());
  }
}

void DrawPosition(Dice& dice, AttentionCase& c) {
  const double base = dice.Pick<double>({10000, 100, 1, 3});
  if (dice.OneIn(3)) {
    c.position = SinusoidalPosition{base};
  } else if (dice.OneIn(2) && c.d % 2 == 0 && c.d_key % 2 == 0) {
    c.position = RotaryPosition{base, dice.OneIn(2)};
  }
  c.name += " position " + std::to_string(c.position.index());
}

// A shape that broadcasts to the scores'.
std::array<int64_t, 4> DrawBroadcast(Dice& dice, const AttentionCase& c) {
  std::array<int64_t, 4> shape = {c.batch, c.heads, c.n, c.m};
  for (int64_t& size : shape) {
    if (dice.OneIn(2)) size = 1;
  }
  return shape;
}

void DrawMask(Dice& dice, AttentionCase& c) {
  c.causal = dice.OneIn(3);
  if (dice.OneIn(3)) c.alignment = Alignment::kTopLeft;
  if (dice.OneIn(4)) c.window_left = dice.Below(c.m + 3);
  if (dice.OneIn(4)) c.window_right = dice.Below(c.m + 3);
  if (dice.OneIn(3)) {
    for (int64_t b = 0; b < c.batch; ++b) c.key_lengths.push_back(dice.Below(c.m + 1));
  }
  if (dice.OneIn(3)) {
    for (int64_t h = 0; h < c.heads; ++h) c.alibi_slopes.push_back(std::ldexp(dice.Below(9) - 2, -5));
  }
  if (dice.OneIn(3)) {
    const auto s = c.allowed.shape = DrawBroadcast(dice, c);
    for (const double v : RandomNormal(s[0] * s[1] * s[2] * s[3], dice.Seed())) c.allowed.data.push_back(v < 0.7);
  }
  if (dice.OneIn(3)) {
    const auto s = c.bias.shape = DrawBroadcast(dice, c);
    for (const double v : RandomNormal(s[0] * s[1] * s[2] * s[3], dice.Seed())) {
      c.bias.data.push_back(v > 1.2 ? kMinusInfinity : static_cast<double>(static_cast<float>(2 * v)));
    }
  }
  c.name += c.causal ? " causal" : "";
  c.name += c.window_left ? " left " + std::to_string(*c.window_left) : "";
  c.name += c.window_right ? " right " + std::to_string(*c.window_right) : "";
  c.name += c.key_lengths.empty() ? "" : " lengths";
  c.name += c.alibi_slopes.empty() ? "" : " slopes";
  c.name += c.allowed.data.empty() ? "" : " allowed " + testing::PrintToString(c.allowed.shape);
  c.name += c.bias.data.empty() ? "" : " bias " + testing::PrintToString(c.bias.shape);
}

AttentionCase DrawFeatures(Dice& dice, const Sizes& sizes, const Normalization& normalization) {
  AttentionCase c = RandomCase(sizes, dice.Seed());
  c.normalization = normalization;
  DrawScore(dice, c);
  DrawPosition(dice, c);
  DrawMask(dice, c);
  return c;
}

Normalization DrawSoftmax(Dice& dice) {
  return SoftmaxNormalization{dice.OneIn(3) ? dice.Pick<double>({0.5, 1.5, 30}) : 0};
}

Normalization DrawGenerator(Dice& dice, const std::vector<Rate>& rates) {
  return GeneratorExpNormalization{dice.Pick(rates), dice.Pick<double>({0, 0.01, 0.3, 1})};
}

std::string Seeded(uint64_t seed, const std::string& name) { return "seed " + std::to_string(seed) + ": " + name; }

template <typename T>
class Sweep : public testing::Test {};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(Sweep, FloatTypes);

TYPED_TEST(Sweep, Softmax) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Dice dice(seed);
    const Sizes sizes = DrawSizes(dice, {0, 1, 2, 3, 5, 17, 33, 64, 65, 129}, false);
    AttentionCase c = DrawFeatures(dice, sizes, DrawSoftmax(dice));
    c.name = Seeded(seed, c.name);
    ExpectAgreement<TypeParam>(c);
    ExpectRowsAgree<TypeParam>(c);
  }
}

TYPED_TEST(Sweep, ManyKeysAndFewQueries) {
  for (uint64_t seed = 1001; seed <= 1100; ++seed) {
    Dice dice(seed);
    Sizes sizes = DrawSizes(dice, {1, 2, 3, 4, 5, 130, 260}, false);
    sizes.m = dice.Pick<int64_t>({383, 511, 513, 700, 1025, 1100});
    sizes.batch = std::min<int64_t>(sizes.batch, 1);
    sizes.d = std::min<int64_t>(sizes.d, 8);
    AttentionCase c = DrawFeatures(dice, sizes, DrawSoftmax(dice));
    c.name = Seeded(seed, c.name);
    ExpectAgreement<TypeParam>(c);
    ExpectRowsAgree<TypeParam>(c);
  }
}

TYPED_TEST(Sweep, GeneratorExp) {
  for (uint64_t seed = 2001; seed <= 2200; ++seed) {
    Dice dice(seed);
    const Sizes sizes = DrawSizes(dice, {0, 1, 2, 3, 5, 17, 33}, true);
    AttentionCase c = DrawFeatures(dice, sizes, DrawGenerator(dice, {Rate::kExp, Rate::kSoftplus, Rate::kRelu}));
    c.name = Seeded(seed, c.name);
    ExpectAgreement<TypeParam>(c);
  }
}

TokensCase DrawTokens(Dice& dice, const std::vector<int64_t>& lengths, bool generator, const std::vector<Rate>& rates) {
  const bool self = generator || dice.OneIn(2);
  const Sizes sizes = DrawSizes(dice, lengths, self);
  const int64_t d_model = dice.Pick<int64_t>({1, 2, 5, 16, 17});
  const int64_t d_context = self ? d_model : dice.Pick<int64_t>({1, 3, 8, 33});
  TokensCase c = RandomTokens(sizes, d_model, d_context, dice.Pick<int64_t>({1, 4, 7, 24}), dice.Seed());
  c.attention = DrawFeatures(dice, sizes, generator ? DrawGenerator(dice, rates) : DrawSoftmax(dice));
  const int64_t key_cols = sizes.kv_heads * c.attention.d_key;
  c.w_k = RandomNormal(d_context * key_cols, dice.Seed());
  for (double& w : c.w_k) w = static_cast<float>(w / std::sqrt(static_cast<double>(d_context)));
  c.b_k = RandomNormal(key_cols, dice.Seed());
  if (self) c.context.clear();
  for (auto* absent : {&c.b_q, &c.b_k, &c.b_v, &c.b_o, &c.w_o}) {
    if (dice.OneIn(3)) absent->clear();
  }
  if (c.w_o.empty() && !c.b_o.empty()) c.b_o = RandomNormal(sizes.heads * sizes.d_value, dice.Seed());
  c.attention.name += self ? " self" : " cross";
  return c;
}

TYPED_TEST(Sweep, Tokens) {
  for (uint64_t seed = 3001; seed <= 3200; ++seed) {
    Dice dice(seed);
    const bool generator = dice.OneIn(4);
    const std::vector<int64_t> lengths = {0, 1, 2, 3, 5, 17, 33};
    TokensCase c = DrawTokens(dice, lengths, generator, {Rate::kExp, Rate::kSoftplus, Rate::kRelu});
    c.attention.name = Seeded(seed, c.attention.name);
    ExpectTokensAgreement<TypeParam>(c);
  }
}

// A relu has kinks, some of them within a difference's step: its gradients have tests of their own.
const std::vector<Rate> kSmoothRates = {Rate::kExp, Rate::kSoftplus};

TEST(GradientSweep, Heads) {
  for (uint64_t seed = 4001; seed <= 4300; ++seed) {
    Dice dice(seed);
    const bool generator = dice.OneIn(4);
    const Sizes sizes = DrawSizes(dice, {1, 2, 3, 5, 17, 33}, generator);
    AttentionCase c = DrawFeatures(dice, sizes, generator ? DrawGenerator(dice, kSmoothRates) : DrawSoftmax(dice));
    c.name = Seeded(seed, c.name);
    ExpectGradientsAreDifferences(c);
  }
}

TEST(GradientSweep, Tokens) {
  for (uint64_t seed = 5001; seed <= 5200; ++seed) {
    Dice dice(seed);
    TokensCase c = DrawTokens(dice, {1, 2, 3, 5, 17}, dice.OneIn(4), kSmoothRates);
    c.attention.name = Seeded(seed, c.attention.name);
    ExpectGradientsAreDifferences(c);
  }
}

}  // namespace
}  // namespace attend::compute
