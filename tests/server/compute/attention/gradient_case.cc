#include "tests/server/compute/attention/gradient_case.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "server/compute/attention/backward.h"

namespace attend::compute {
namespace {

template <typename T>
std::vector<T> Convert(const std::vector<double>& from) {
  return std::vector<T>(from.begin(), from.end());
}

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

AttentionCase Moved(const AttentionCase& c, const std::string& name, const std::vector<double>& direction, double by) {
  AttentionCase moved = c;
  std::vector<double>& input = InputOf(moved, name);
  for (size_t i = 0; i < input.size(); ++i) input[i] += by * direction[i];
  return moved;
}

}  // namespace

double Largest(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

std::vector<double>& InputOf(AttentionCase& c, const std::string& name) {
  if (name == "query") return c.query;
  if (name == "key") return c.key;
  if (name == "value") return c.value;
  return c.bias.data;
}

template <typename T>
absl::Status RunGradients(const AttentionCase& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          GradientsByName& gradients) {
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
  runtime::BufferPool pool;
  if (absl::Status done = Attention(executor, pool, p, result); !done.ok()) return done;

  std::map<std::string, std::vector<T>> memory;
  const auto place = [&](const char* name, size_t elements) {
    return memory.emplace(name, std::vector<T>(elements, ResultMemory<T>::kPoison)).first->second.data();
  };
  AttentionGradients<T> to;
  to.query = ContiguousHeads(place("query", query.size()), c.heads, c.n, c.d);
  to.key = ContiguousHeads(place("key", key.size()), c.kv_heads, c.m, p.d_key);
  to.value = ContiguousHeads(place("value", value.size()), c.kv_heads, c.m, c.d_value);
  if (!bias.empty()) to.bias = place("bias", bias.size());
  const AttentionForward<T> forward{ContiguousHeads<const T>(output.data(), c.heads, c.n, c.d_value), lse.data(),
                                    ContiguousHeads<const T>(slopes.data(), c.heads, c.n, c.d_value)};
  const absl::Status done = AttentionBackward(executor, pool, p, forward, to);
  for (const auto& [name, values] : memory) gradients[name].assign(values.begin(), values.end());
  return done;
}

void ExpectGradientsAreDifferences(const AttentionCase& c) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const std::vector<double> grad_output = RandomNormal(c.batch * c.heads * c.n * c.d_value, 1000);
  GradientsByName in_double;
  GradientsByName in_float;
  ASSERT_TRUE(RunGradients<double>(c, grad_output, executor, in_double).ok()) << c.name;
  ASSERT_TRUE(RunGradients<float>(c, grad_output, executor, in_float).ok()) << c.name;
  for (const auto& [name, gradient] : in_double) {
    const double largest = Largest(gradient);
    for (const uint64_t seed : {1001, 1002, 1003}) {
      const std::vector<double> direction = RandomNormal(static_cast<int64_t>(gradient.size()), seed);
      // A step that balances the third derivative against rounding: about epsilon^(2/3) is left of the objective, whose
      // terms are grad_output * output.
      constexpr double kStep = 1e-5;
      const double difference = (Objective(Moved(c, name, direction, kStep), grad_output) -
                                 Objective(Moved(c, name, direction, -kStep), grad_output)) /
                                (2 * kStep);
      const double terms = std::sqrt(static_cast<double>(gradient.size())) * (largest + 1) + Largest(grad_output);
      EXPECT_NEAR(Dot(gradient, direction), difference, 1e-7 * terms) << c.name << " " << name;
    }
    // Logits of at most about ten: a weight is off by 2e-6 of itself, and what the rows' terms leave of each other
    // keeps the error of the terms, products of grad_output and value.
    const double lost = 2e-6 * Largest(grad_output) * Largest(c.value);
    EXPECT_TRUE(AllNear(in_float[name], gradient, 1e-5 * largest + lost)) << c.name << " " << name << " in float";
  }
}

template absl::Status RunGradients<float>(const AttentionCase&, const std::vector<double>&, runtime::Executor&,
                                          GradientsByName&);
template absl::Status RunGradients<double>(const AttentionCase&, const std::vector<double>&, runtime::Executor&,
                                           GradientsByName&);

}  // namespace attend::compute
