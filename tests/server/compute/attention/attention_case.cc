#include "tests/server/compute/attention/attention_case.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace attend::compute {
namespace {

template <typename T>
std::vector<T> Convert(const std::vector<double>& from) {
  return std::vector<T>(from.begin(), from.end());
}

double LargestNorm(const std::vector<double>& matrix, int64_t cols) {
  double largest = 0;
  for (size_t row = 0; row + static_cast<size_t>(cols) <= matrix.size(); row += static_cast<size_t>(cols)) {
    double sum = 0;
    for (int64_t j = 0; j < cols; ++j) sum += matrix[row + j] * matrix[row + j];
    largest = std::max(largest, std::sqrt(sum));
  }
  return largest;
}

double LargestFinite(const std::vector<double>& values) {
  double largest = 0;
  for (const double v : values) {
    if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
  }
  return largest;
}

}  // namespace

std::vector<double> RandomNormal(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<double> values(static_cast<size_t>(count));
  for (double& v : values) v = normal(random);
  return values;
}

AttentionCase RandomCase(const Sizes& s, uint64_t seed) {
  AttentionCase c;
  c.name = testing::PrintToString(std::vector<int64_t>{s.batch, s.heads, s.kv_heads, s.n, s.m, s.d, s.d_value});
  c.batch = s.batch;
  c.heads = s.heads;
  c.kv_heads = s.kv_heads;
  c.n = s.n;
  c.m = s.m;
  c.d = s.d;
  c.d_key = s.d;
  c.d_value = s.d_value;
  c.query = RandomNormal(s.batch * s.heads * s.n * s.d, 3 * seed);
  c.key = RandomNormal(s.batch * s.kv_heads * s.m * s.d, 3 * seed + 1);
  c.value = RandomNormal(s.batch * s.kv_heads * s.m * s.d_value, 3 * seed + 2);
  c.scale = 1 / std::sqrt(static_cast<double>(s.d));
  return c;
}

AttentionCase WithAdditiveScore(AttentionCase c, int64_t h, int64_t d_key, uint64_t seed) {
  c.name += " additive";
  c.score = ScoreKind::kAdditive;
  c.h = h;
  c.d_key = d_key;
  c.key = RandomNormal(c.batch * c.kv_heads * c.m * d_key, 5 * seed);
  c.w_query = RandomNormal(h * c.d, 5 * seed + 1);
  c.w_key = RandomNormal(h * d_key, 5 * seed + 2);
  c.w_score = RandomNormal(h, 5 * seed + 3);
  return c;
}

AttentionCase WithBilinearScore(AttentionCase c, int64_t d_key, uint64_t seed) {
  c.name += " bilinear";
  c.score = ScoreKind::kBilinear;
  c.scale = 1 / static_cast<double>(c.d);
  c.d_key = d_key;
  c.key = RandomNormal(c.batch * c.kv_heads * c.m * d_key, 5 * seed);
  c.w_bilinear = RandomNormal(c.d * d_key, 5 * seed + 1);
  return c;
}

Sensitivity SensitivityOf(const AttentionCase& c) {
  const auto rows_sum = [](const std::vector<double>& weights, const std::vector<double>& matrix, int64_t cols) {
    double sum = 0;
    for (size_t i = 0; i < matrix.size(); ++i) {
      sum += std::fabs(weights[i / static_cast<size_t>(cols)]) * std::fabs(matrix[i]);
    }
    return sum;
  };
  if (c.score == ScoreKind::kAdditive) {
    return {rows_sum(c.w_score, c.w_query, c.d), rows_sum(c.w_score, c.w_key, c.d_key)};
  }
  const AttentionCase placed = Placed(c);
  double factor = std::fabs(c.scale) * std::sqrt(static_cast<double>(c.d));
  if (c.score == ScoreKind::kBilinear) factor *= LargestNorm(c.w_bilinear, c.d * c.d_key);
  return {factor * LargestNorm(placed.key, c.d_key), factor * LargestNorm(placed.query, c.d)};
}

namespace {

// How far a raw score may be from the truth. A dot product of norm |q| |k| carries an error of a few of its own
// roundings (its errors mostly cancel: 4 is twice what the worst of these sizes shows); a position adds a rounding or
// two to each element and the rounding of an angle in double, a parameter's product as much as its own norm again. A
// term of an additive score has the errors of two such products, and those of its sum, its tanh (4 units) and its place
// in the sum.
double RawScoreError(const AttentionCase& c, double epsilon) {
  const AttentionCase placed = Placed(c);
  const bool placed_rows = !std::holds_alternative<NoPosition>(c.position);
  const double angle = placed_rows ? std::numeric_limits<double>::epsilon() * static_cast<double>(c.n + c.m) : 0;
  const double roundings = (placed_rows ? 8 : 4) + 2 * angle / epsilon;
  const double query = LargestNorm(placed.query, c.d);
  const double key = LargestNorm(placed.key, c.d_key);
  if (c.score == ScoreKind::kDotProduct) return epsilon * roundings * std::fabs(c.scale) * query * key;
  if (c.score == ScoreKind::kBilinear) {
    return epsilon * 2 * roundings * std::fabs(c.scale) * query * key * LargestNorm(c.w_bilinear, c.d * c.d_key);
  }
  const double w_query = LargestNorm(c.w_query, c.d);
  const double w_key = LargestNorm(c.w_key, c.d_key);
  double weights = 0;
  for (const double w : c.w_score) weights += std::fabs(w);
  return epsilon * weights * (roundings * (query * w_query + key * w_key) + 8);
}

// What softcap, ALiBi and bias add: each is rounded, and the slope is. A capped score's tanh is good to 4 units.
double AddedScoreError(const AttentionCase& c, double epsilon) {
  double error = LargestFinite(c.bias.data);
  error += 3 * LargestFinite(c.alibi_slopes) * static_cast<double>(c.n + c.m);
  if (const auto* softmax = std::get_if<SoftmaxNormalization>(&c.normalization)) {
    AttentionCase raw = c;
    raw.normalization = SoftmaxNormalization{};
    double largest = 0;
    for (int64_t head = 0; head < c.batch * c.heads; ++head) {
      largest = std::max(largest, LargestFinite(ScoresOfHead(raw, head / c.heads, head % c.heads)));
    }
    if (softmax->softcap > 0) error += 8 * std::min(softmax->softcap, largest);
  }
  return epsilon * error;
}

}  // namespace

// An error of a score moves its weight by that much, relatively. The exponential, the sums and the division add a dozen
// roundings. An entropy's derivative is at most 2 log m times the weights' error.
Tolerance ToleranceFor(const AttentionCase& c, double epsilon) {
  const double score = RawScoreError(c, epsilon) + AddedScoreError(c, epsilon);
  double weight = 2 * score + 12 * epsilon;
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&c.normalization)) {
    // d exp(tG) is at most t |dG| in the infinity norm, |dG| twice the error of a row of rates.
    double largest = 0;
    for (int64_t head = 0; head < c.batch * c.heads; ++head) {
      largest = std::max(largest, LargestFinite(ScoresOfHead(c, head / c.heads, head % c.heads)));
    }
    const double rate = generator->rate == Rate::kExp ? std::exp(largest) : largest + 1;
    const double rate_error = generator->rate == Rate::kExp ? rate * (score + 2 * epsilon) : score + 2 * epsilon * rate;
    weight = 2 * generator->time * static_cast<double>(c.n) * rate_error + 12 * epsilon;
  }
  const double logs = 2 * std::log(static_cast<double>(c.m) + 2);
  return {score + epsilon, weight * LargestFinite(c.value), weight, 2 * score + 8 * epsilon * (1 + logs),
          weight * logs};
}

template <typename T>
ScoreParameters<T>::ScoreParameters(const AttentionCase& c)
    : kind_(c.score),
      h_(c.h),
      w_query_(Convert<T>(c.w_query)),
      w_key_(Convert<T>(c.w_key)),
      w_score_(Convert<T>(c.w_score)),
      w_bilinear_(Convert<T>(c.w_bilinear)) {}

template <typename T>
Score<T> ScoreParameters<T>::score() const {
  if (kind_ == ScoreKind::kAdditive) return AdditiveScore<T>{h_, w_query_.data(), w_key_.data(), w_score_.data()};
  if (kind_ == ScoreKind::kBilinear) return BilinearScore<T>{w_bilinear_.data()};
  return DotProductScore{};
}

template <typename T>
AttentionProblem<T> ProblemWithoutHeads(const AttentionCase& c, const std::vector<T>& bias,
                                        const ScoreParameters<T>& parameters) {
  AttentionProblem<T> p;
  p.batch = c.batch;
  p.heads = c.heads;
  p.kv_heads = c.kv_heads;
  p.n = c.n;
  p.m = c.m;
  p.d = c.d;
  p.d_key = c.d_key;
  p.d_value = c.d_value;
  p.scale = c.scale;
  p.score = parameters.score();
  p.position = c.position;
  p.mask.causal = c.causal;
  p.mask.alignment = c.alignment;
  p.mask.allowed = c.allowed.View(c.allowed.data);
  p.mask.bias = c.bias.View(bias);
  p.mask.key_lengths = c.key_lengths;
  p.mask.window_left = c.window_left;
  p.mask.window_right = c.window_right;
  p.mask.alibi_slopes = Convert<T>(c.alibi_slopes);
  p.normalization = c.normalization;
  return p;
}

template <typename T>
absl::Status RunCase(const AttentionCase& c, runtime::Executor& executor, runtime::BufferPool& pool, Wanted wanted,
                     Answer& answer) {
  const std::vector<T> query = Convert<T>(c.query);
  const std::vector<T> key = Convert<T>(c.key);
  const std::vector<T> value = Convert<T>(c.value);
  const std::vector<T> bias = Convert<T>(c.bias.data);
  const ScoreParameters<T> parameters(c);
  AttentionProblem<T> p = ProblemWithoutHeads<T>(c, bias, parameters);
  p.query = ContiguousHeads<const T>(query.data(), c.heads, c.n, c.d);
  p.key = ContiguousHeads<const T>(key.data(), c.kv_heads, c.m, c.d_key);
  p.value = ContiguousHeads<const T>(value.data(), c.kv_heads, c.m, c.d_value);

  const int64_t rows = c.batch * c.heads * c.n;
  ResultMemory<T> memory(rows * c.d_value, wanted == Wanted::kOutputOnly ? 0 : rows, c.m);
  AttentionResult<T> result;
  result.output = ContiguousHeads(memory.output.data(), c.heads, c.n, c.d_value);
  if (wanted == Wanted::kEverything) {
    result.weights = memory.weights.data();
    result.scores = memory.scores.data();
  }
  if (wanted != Wanted::kOutputOnly) {
    result.lse = memory.lse.data();
    result.entropy = memory.entropy.data();
  }
  const absl::Status done = Attention(executor, pool, p, result);
  answer = memory.ToAnswer();
  return done;
}

testing::AssertionResult AllNear(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
  if (got.size() != want.size()) {
    return testing::AssertionFailure() << got.size() << " elements, expected " << want.size();
  }
  size_t worst = 0;
  double largest = -1;
  for (size_t i = 0; i < got.size(); ++i) {
    double error = got[i] == want[i] ? 0 : std::fabs(got[i] - want[i]);
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error > largest) {
      largest = error;
      worst = i;
    }
  }
  if (largest <= tolerance) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "element " << worst << " is " << got[worst] << ", expected " << want[worst]
                                     << ", off by " << largest << ", allowed " << tolerance;
}

template class ScoreParameters<float>;
template class ScoreParameters<double>;
template AttentionProblem<float> ProblemWithoutHeads(const AttentionCase&, const std::vector<float>&,
                                                     const ScoreParameters<float>&);
template AttentionProblem<double> ProblemWithoutHeads(const AttentionCase&, const std::vector<double>&,
                                                      const ScoreParameters<double>&);
template absl::Status RunCase<float>(const AttentionCase&, runtime::Executor&, runtime::BufferPool&, Wanted, Answer&);
template absl::Status RunCase<double>(const AttentionCase&, runtime::Executor&, runtime::BufferPool&, Wanted, Answer&);

}  // namespace attend::compute
