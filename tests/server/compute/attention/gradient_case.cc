#include "tests/server/compute/attention/gradient_case.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/compute/attention/backward.h"
#include "server/compute/attention/tokens_backward.h"

namespace attend::compute {
namespace {

template <typename T>
std::vector<T> Convert(const std::vector<double>& from) {
  return std::vector<T>(from.begin(), from.end());
}

double Bias(double v) { return v > 1.2 ? kMinusInfinity : static_cast<double>(static_cast<float>(2 * v)); }

double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

double Objective(const AttentionCase& c, const std::vector<double>& grad_output) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  Answer answer;
  const absl::Status done = RunCase<double>(c, executor, Wanted::kOutputOnly, answer);
  EXPECT_TRUE(done.ok()) << done;
  return Dot(answer.output, grad_output);
}

double Objective(const TokensCase& c, const std::vector<double>& grad_output) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  Answer answer;
  const absl::Status done = RunTokens<double>(c, executor, answer);
  EXPECT_TRUE(done.ok()) << done;
  return Dot(answer.output, grad_output);
}

// Where a case keeps the input of that name.
std::vector<double>& InputOf(AttentionCase& c, const std::string& name) {
  const std::map<std::string, std::vector<double>*> inputs = {
      {"query", &c.query},     {"key", &c.key},     {"value", &c.value},     {"bias", &c.bias.data},
      {"w_query", &c.w_query}, {"w_key", &c.w_key}, {"w_score", &c.w_score}, {"w_bilinear", &c.w_bilinear}};
  return *inputs.at(name);
}

std::vector<double>& InputOf(TokensCase& c, const std::string& name) {
  const std::map<std::string, std::vector<double>*> inputs = {
      {"x", &c.x},     {"context", &c.context}, {"w_q", &c.w_q}, {"w_k", &c.w_k}, {"w_v", &c.w_v},
      {"w_o", &c.w_o}, {"b_q", &c.b_q},         {"b_k", &c.b_k}, {"b_v", &c.b_v}, {"b_o", &c.b_o}};
  const auto found = inputs.find(name);
  return found == inputs.end() ? InputOf(c.attention, name) : *found->second;
}

template <typename Case>
Case Moved(const Case& c, const std::string& name, const std::vector<double>& direction, double by) {
  Case moved = c;
  std::vector<double>& input = InputOf(moved, name);
  for (size_t i = 0; i < input.size(); ++i) input[i] += by * direction[i];
  return moved;
}

// Memory for the gradients of the inputs that a case has.
template <typename T>
class GradientMemory {
 public:
  // Null without elements.
  T* Place(const std::string& name, size_t elements) {
    if (elements == 0) return nullptr;
    return memory_.emplace(name, std::vector<T>(elements, ResultMemory<T>::kPoison)).first->second.data();
  }
  ParameterGradients<T> PlaceParameters(const AttentionCase& c) {
    return {Place("bias", c.bias.data.size()), Place("w_query", c.w_query.size()), Place("w_key", c.w_key.size()),
            Place("w_score", c.w_score.size()), Place("w_bilinear", c.w_bilinear.size())};
  }
  void CopyTo(GradientsByName& gradients) const {
    for (const auto& [name, values] : memory_) gradients[name].assign(values.begin(), values.end());
  }

 private:
  std::map<std::string, std::vector<T>> memory_;
};

}  // namespace

double Largest(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

template <typename T>
absl::Status RunGradients(const AttentionCase& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          runtime::BufferPool& pool, GradientsByName& gradients) {
  const std::vector<T> query = Convert<T>(c.query), key = Convert<T>(c.key), value = Convert<T>(c.value),
                       bias = Convert<T>(c.bias.data), slopes = Convert<T>(grad_output);
  const ScoreParameters<T> parameters(c);
  AttentionProblem<T> p = ProblemWithoutHeads<T>(c, bias, parameters);
  p.query = ContiguousHeads<const T>(query.data(), c.heads, c.n, c.d);
  p.key = ContiguousHeads<const T>(key.data(), c.kv_heads, c.m, p.d_key);
  p.value = ContiguousHeads<const T>(value.data(), c.kv_heads, c.m, c.d_value);
  std::vector<T> output(slopes.size());
  std::vector<T> lse(static_cast<size_t>(c.batch * c.heads * c.n));
  AttentionResult<T> result;
  result.output = ContiguousHeads(output.data(), c.heads, c.n, c.d_value);
  result.lse = lse.data();
  result.backward_follows = true;
  if (absl::Status done = Attention(executor, pool, p, result); !done.ok()) return done;

  GradientMemory<T> memory;
  AttentionGradients<T> to;
  to.query = ContiguousHeads(memory.Place("query", query.size()), c.heads, c.n, c.d);
  to.key = ContiguousHeads(memory.Place("key", key.size()), c.kv_heads, c.m, p.d_key);
  to.value = ContiguousHeads(memory.Place("value", value.size()), c.kv_heads, c.m, c.d_value);
  to.parameters = memory.PlaceParameters(c);
  const AttentionForward<T> forward{ContiguousHeads<const T>(output.data(), c.heads, c.n, c.d_value), lse.data(),
                                    ContiguousHeads<const T>(slopes.data(), c.heads, c.n, c.d_value)};
  const absl::Status done = AttentionBackward(executor, pool, p, forward, to);
  memory.CopyTo(gradients);
  return done;
}

template <typename T>
absl::Status RunGradients(const TokensCase& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          runtime::BufferPool& pool, GradientsByName& gradients) {
  const TokensInputs<T> inputs(c);
  const TokensProblem<T> p = inputs.problem();
  const std::vector<T> slopes = Convert<T>(grad_output);
  std::vector<T> output(slopes.size());
  GradientMemory<T> memory;
  TokensGradients<T> to;
  to.x = memory.Place("x", c.x.size());
  to.context = memory.Place("context", c.context.size());
  to.w_q = memory.Place("w_q", c.w_q.size());
  to.w_k = memory.Place("w_k", c.w_k.size());
  to.w_v = memory.Place("w_v", c.w_v.size());
  to.w_o = memory.Place("w_o", c.w_o.size());
  to.b_q = memory.Place("b_q", c.b_q.size());
  to.b_k = memory.Place("b_k", c.b_k.size());
  to.b_v = memory.Place("b_v", c.b_v.size());
  to.b_o = memory.Place("b_o", c.b_o.size());
  to.parameters = memory.PlaceParameters(c.attention);
  const absl::Status done =
      AttentionFromTokensWithGradients(executor, pool, p, TokensResult<T>{output.data()}, slopes.data(), to);
  memory.CopyTo(gradients);
  return done;
}

namespace {

// `terms`: the size of what the gradients are sums of.
template <typename Case>
void ExpectDifferences(const Case& c, const std::string& case_name, const std::vector<double>& grad_output,
                       double terms) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  GradientsByName in_double;
  GradientsByName in_float;
  absl::Status done = RunGradients<double>(c, grad_output, executor, in_double);
  ASSERT_TRUE(done.ok()) << case_name << ": " << done;
  done = RunGradients<float>(c, grad_output, executor, in_float);
  ASSERT_TRUE(done.ok()) << case_name << ": " << done;
  for (const auto& [name, gradient] : in_double) {
    const double largest = Largest(gradient);
    for (const uint64_t seed : {1001, 1002, 1003}) {
      const std::vector<double> direction = RandomNormal(static_cast<int64_t>(gradient.size()), seed);
      // A step that balances the third derivative against rounding: about epsilon^(2/3) is left of the objective.
      constexpr double kStep = 1e-5;
      const double difference = (Objective(Moved(c, name, direction, kStep), grad_output) -
                                 Objective(Moved(c, name, direction, -kStep), grad_output)) /
                                (2 * kStep);
      const double moved = std::sqrt(static_cast<double>(gradient.size())) * (largest + 1) + Largest(grad_output);
      EXPECT_NEAR(Dot(gradient, direction), difference, 1e-7 * moved) << case_name << " " << name;
    }
    // Logits of at most about ten: a weight is off by 2e-6 of itself, and what the rows' terms leave of each other
    // keeps the error of the terms.
    EXPECT_TRUE(AllNear(in_float[name], gradient, 1e-5 * largest + 2e-6 * terms))
        << case_name << " " << name << " in float";
  }
}

}  // namespace

void ExpectGradientsAreDifferences(const AttentionCase& c) {
  const std::vector<double> grad_output = RandomNormal(c.batch * c.heads * c.n * c.d_value, 1000);
  ExpectDifferences(c, c.name, grad_output, Largest(grad_output) * Largest(c.value));
}

void ExpectGradientsAreDifferences(const TokensCase& c) {
  const AttentionCase& a = c.attention;
  const int64_t d_out = c.w_o.empty() ? a.heads * a.d_value : c.d_out;
  const std::vector<double> grad_output = RandomNormal(a.batch * a.n * d_out, 1000);
  ExpectDifferences(c, a.name, grad_output, 10 * Largest(grad_output));
}

template absl::Status RunGradients<float>(const AttentionCase&, const std::vector<double>&, runtime::Executor&,
                                          runtime::BufferPool&, GradientsByName&);
template absl::Status RunGradients<float>(const TokensCase&, const std::vector<double>&, runtime::Executor&,
                                          runtime::BufferPool&, GradientsByName&);
template absl::Status RunGradients<double>(const AttentionCase&, const std::vector<double>&, runtime::Executor&,
                                           runtime::BufferPool&, GradientsByName&);
template absl::Status RunGradients<double>(const TokensCase&, const std::vector<double>&, runtime::Executor&,
                                           runtime::BufferPool&, GradientsByName&);

void FillAllowed(BroadcastCase<uint8_t>& allowed, std::array<int64_t, 4> shape) {
  allowed.shape = shape;
  for (const double v : RandomNormal(shape[0] * shape[1] * shape[2] * shape[3], 24)) allowed.data.push_back(v < 0.7);
}

void FillBias(BroadcastCase<double>& bias, std::array<int64_t, 4> shape) {
  bias.shape = shape;
  for (const double v : RandomNormal(shape[0] * shape[1] * shape[2] * shape[3], 25)) bias.data.push_back(Bias(v));
}

std::vector<AttentionCase> EveryScore(const Sizes& sizes) {
  const AttentionCase plain = RandomCase(sizes, 50);
  std::vector<AttentionCase> cases = {WithAdditiveScore(plain, 5, 3, 51), WithAdditiveScore(plain, 17, 6, 52),
                                      WithBilinearScore(plain, 3, 53)};
  const auto add = [&](const char* name) -> AttentionCase& {
    cases.push_back(plain);
    cases.back().name += name;
    return cases.back();
  };
  add(" softcap").normalization = SoftmaxNormalization{1.5};
  for (int64_t head = 0; head < sizes.heads; ++head)
    cases.back().alibi_slopes.push_back(0.5 / static_cast<double>(head + 1));
  add(" window").window_left = 2;
  cases.back().window_right = 1;
  add(" sinusoidal").position = SinusoidalPosition{100};
  add(" half").position = RotaryPosition{100, false};
  add(" interleaved").position = RotaryPosition{100, true};
  cases.push_back(WithBilinearScore(cases.back(), 4, 54));
  cases.push_back(WithAdditiveScore(cases[cases.size() - 2], 4, 2, 55));
  return cases;
}

}  // namespace attend::compute
