// The same request gives the same bits: with any number of compute threads, alone or among other calls, in fresh memory
// or in what other calls left.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "server/runtime/compute_pool.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/gradient_case.h"
#include "tests/server/compute/attention/tokens_case.h"

namespace attend::compute {
namespace {

// Every number of a request's results, one after the other; empty where the request failed.
using Bits = std::vector<double>;

bool SameBits(const Bits& a, const Bits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

struct Request {
  std::string name;
  std::function<Bits(runtime::Executor&, runtime::BufferPool&)> run;
};

Bits BitsOf(const Answer& answer) {
  Bits bits;
  for (const auto* part : {&answer.output, &answer.weights, &answer.scores, &answer.lse, &answer.entropy}) {
    bits.insert(bits.end(), part->begin(), part->end());
  }
  return bits;
}

Bits BitsOf(const GradientsByName& gradients) {
  Bits bits;
  for (const auto& [name, gradient] : gradients) bits.insert(bits.end(), gradient.begin(), gradient.end());
  return bits;
}

template <typename T>
Request Forward(const AttentionCase& c, Wanted wanted) {
  return {c.name, [c, wanted](runtime::Executor& executor, runtime::BufferPool& pool) {
            Answer answer;
            return RunCase<T>(c, executor, pool, wanted, answer).ok() ? BitsOf(answer) : Bits{};
          }};
}

template <typename T>
Request ForwardFromTokens(const TokensCase& c) {
  return {c.attention.name + " tokens", [c](runtime::Executor& executor, runtime::BufferPool& pool) {
            Answer answer;
            return RunTokens<T>(c, executor, pool, answer).ok() ? BitsOf(answer) : Bits{};
          }};
}

template <typename T, typename Case>
Request Backward(const std::string& name, const Case& c, int64_t output_elements) {
  return {name + " gradients",
          [c, slopes = RandomNormal(output_elements, 7)](runtime::Executor& executor, runtime::BufferPool& pool) {
            GradientsByName gradients;
            return RunGradients<T>(c, slopes, executor, pool, gradients).ok() ? BitsOf(gradients) : Bits{};
          }};
}

template <typename T>
Request Backward(const AttentionCase& c) {
  return Backward<T>(c.name, c, c.batch * c.heads * c.n * c.d_value);
}

AttentionCase WithBias(AttentionCase c, std::array<int64_t, 4> shape) {
  c.bias.shape = shape;
  c.bias.data = RandomNormal(shape[0] * shape[1] * shape[2] * shape[3], 8);
  return c;
}

AttentionCase AsGenerator(AttentionCase c, Rate rate) {
  c.name += " generator";
  c.normalization = GeneratorExpNormalization{rate, 0.02};
  return c;
}

// One of each way through the kernels, each with more than one tile of work.
template <typename T>
std::vector<Request> EveryKindOfRequest() {
  AttentionCase causal = RandomCase({2, 4, 2, 300, 600, 17, 33}, 1);
  causal.causal = true;
  causal.key_lengths = {600, 401};
  AttentionCase featured = WithBias(RandomCase({1, 2, 1, 200, 530, 6, 3}, 2), {1, 1, 200, 530});
  featured.position = RotaryPosition{};
  featured.window_left = 300;
  featured.alibi_slopes = {0.1, 0.2};
  featured.normalization = SoftmaxNormalization{3};
  const AttentionCase additive = WithAdditiveScore(RandomCase({1, 2, 2, 200, 300, 5, 3}, 3), 17, 4, 3);
  const AttentionCase bilinear = WithBilinearScore(RandomCase({1, 2, 2, 200, 300, 5, 3}, 4), 4, 4);
  const AttentionCase small = AsGenerator(RandomCase({2, 2, 2, 65, 65, 5, 3}, 5), Rate::kExp);
  const AttentionCase large = AsGenerator(RandomCase({1, 1, 1, 290, 290, 5, 3}, 6), Rate::kSoftplus);
  TokensCase tokens = RandomTokens({2, 4, 2, 280, 280, 8, 8}, 40, 40, 24, 7);
  tokens.context.clear();
  tokens.attention.position = SinusoidalPosition{};
  TokensCase generated = RandomTokens({1, 2, 2, 270, 270, 4, 4}, 20, 20, 12, 8);
  generated.attention = AsGenerator(generated.attention, Rate::kSoftplus);
  return {Forward<T>(causal, Wanted::kEverything),
          Forward<T>(causal, Wanted::kOutputOnly),
          Forward<T>(featured, Wanted::kEverything),
          Forward<T>(additive, Wanted::kRows),
          Forward<T>(bilinear, Wanted::kRows),
          Forward<T>(RandomCase({1, 2, 1, 1, 3000, 64, 64}, 9), Wanted::kRows),  // decoding
          Forward<T>(RandomCase({2, 4, 2, 3, 1500, 17, 5}, 10), Wanted::kOutputOnly),
          Forward<T>(small, Wanted::kEverything),
          Forward<T>(small, Wanted::kOutputOnly),
          Forward<T>(large, Wanted::kEverything),
          Forward<T>(large, Wanted::kOutputOnly),
          ForwardFromTokens<T>(tokens),
          ForwardFromTokens<T>(generated),
          Backward<T>(causal),
          Backward<T>(featured),
          Backward<T>(WithBias(causal, {1, 1, 1, 1})),
          Backward<T>(additive),
          Backward<T>(bilinear),
          Backward<T>(small),
          Backward<T>(large),
          Backward<T>("tokens", tokens, 2 * 280 * 24),
          Backward<T>("generated tokens", generated, 270 * 12)};
}

// Runs requests[order[i]] as calls of one pool, all started before any is waited for.
std::vector<Bits> RunTogether(runtime::ComputePool& threads, runtime::BufferPool& memory,
                              const std::vector<Request>& requests, const std::vector<size_t>& order) {
  std::vector<Bits> results(order.size());
  std::latch done(static_cast<std::ptrdiff_t>(order.size()));
  for (size_t i = 0; i < order.size(); ++i) {
    threads.Start(std::make_shared<runtime::Cancellation>(), [&, i](runtime::Executor& executor) {
      results[i] = requests[order[i]].run(executor, memory);
      done.count_down();
    });
  }
  done.wait();
  return results;
}

// Blocks of every size that the next calls take up, full of NaN.
void Spoil(runtime::BufferPool& memory) {
  std::vector<runtime::Buffer> blocks;
  for (size_t bytes = 64; bytes <= size_t{4} << 20; bytes *= 2) {
    for (int i = 0; i < 4; ++i) {
      blocks.push_back(memory.Allocate(bytes));
      std::memset(blocks.back().data(), 0xFF, bytes);
    }
  }
}

template <typename T>
class Determinism : public testing::Test {
 public:
  Determinism() {
    runtime::ComputePool one(1);
    for (size_t i = 0; i < requests.size(); ++i) {
      runtime::BufferPool fresh;
      alone.push_back(RunTogether(one, fresh, requests, {i})[0]);
      EXPECT_FALSE(alone.back().empty()) << requests[i].name;
    }
  }

  const std::vector<Request> requests = EveryKindOfRequest<T>();
  std::vector<Bits> alone;  // of each request, with one thread
};
using FloatTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(Determinism, FloatTypes);

TYPED_TEST(Determinism, SameBitsWithAnyNumberOfThreadsTwiceInARow) {
  for (const int slots : {1, 2, 7}) {
    runtime::ComputePool threads(slots);
    runtime::BufferPool memory;
    Spoil(memory);
    for (size_t i = 0; i < this->requests.size(); ++i) {
      for (const char* turn : {"first", "second"}) {
        const Bits bits = RunTogether(threads, memory, this->requests, {i})[0];
        EXPECT_TRUE(SameBits(bits, this->alone[i])) << this->requests[i].name << ", " << slots << " threads, " << turn;
      }
    }
  }
}

TYPED_TEST(Determinism, SameBitsAmongOtherCalls) {
  std::vector<size_t> order;
  for (size_t i = 0; i < this->requests.size(); ++i) {
    order.push_back(i);
    order.push_back(this->requests.size() - 1 - i);
  }
  for (const int slots : {1, 2, 7}) {
    runtime::ComputePool threads(slots);
    runtime::BufferPool memory;
    Spoil(memory);
    const std::vector<Bits> results = RunTogether(threads, memory, this->requests, order);
    for (size_t i = 0; i < order.size(); ++i) {
      EXPECT_TRUE(SameBits(results[i], this->alone[order[i]]))
          << this->requests[order[i]].name << ", " << slots << " threads";
    }
  }
}

}  // namespace
}  // namespace attend::compute
