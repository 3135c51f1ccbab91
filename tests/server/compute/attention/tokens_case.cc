#include "tests/server/compute/attention/tokens_case.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {
namespace {

// x [rows, inner] w [inner, cols] + bias [cols].
std::vector<double> Project(const std::vector<double>& x, int64_t rows, int64_t inner, const std::vector<double>& w,
                            int64_t cols, const std::vector<double>& bias) {
  std::vector<double> out(static_cast<size_t>(rows * cols));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(j)];
      for (int64_t l = 0; l < inner; ++l) sum += x[i * inner + l] * w[l * cols + j];
      out[static_cast<size_t>(i * cols + j)] = sum;
    }
  }
  return out;
}

// [batch, rows, heads, cols] to [batch, heads, rows, cols]; with rows and heads exchanged, back.
std::vector<double> SwapRowsAndHeads(const std::vector<double>& from, int64_t batch, int64_t rows, int64_t heads,
                                     int64_t cols) {
  std::vector<double> to(from.size());
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t j = 0; j < cols; ++j) {
          to[((b * heads + h) * rows + i) * cols + j] = from[((b * rows + i) * heads + h) * cols + j];
        }
      }
    }
  }
  return to;
}

const std::vector<double>& ContextOf(const TokensCase& c) { return c.context.empty() ? c.x : c.context; }

// The case as the projections read it: sinusoidal positions are added to the tokens.
TokensCase PlacedTokensOf(TokensCase c) {
  AttentionCase& a = c.attention;
  if (const auto* sinusoidal = std::get_if<SinusoidalPosition>(&a.position)) {
    c.x = WithSinusoids(c.x, a.n, c.d_model, sinusoidal->base);
    if (!c.context.empty()) c.context = WithSinusoids(c.context, a.m, c.d_context, sinusoidal->base);
    a.position = NoPosition{};
  }
  return c;
}

AttentionCase Projected(const TokensCase& unplaced) {
  const TokensCase c = PlacedTokensOf(unplaced);
  AttentionCase a = c.attention;
  const int64_t keys = a.batch * a.m;
  const std::vector<double> query = Project(c.x, a.batch * a.n, c.d_model, c.w_q, a.heads * a.d, c.b_q);
  const std::vector<double> key = Project(ContextOf(c), keys, c.d_context, c.w_k, a.kv_heads * a.d_key, c.b_k);
  const std::vector<double> value = Project(ContextOf(c), keys, c.d_context, c.w_v, a.kv_heads * a.d_value, c.b_v);
  a.query = SwapRowsAndHeads(query, a.batch, a.n, a.heads, a.d);
  a.key = SwapRowsAndHeads(key, a.batch, a.m, a.kv_heads, a.d_key);
  a.value = SwapRowsAndHeads(value, a.batch, a.m, a.kv_heads, a.d_value);
  return a;
}

// The largest sum of |x| |w| + |bias|, over all elements of a projection.
double LargestAbsoluteProjection(const std::vector<double>& x, int64_t rows, int64_t inner,
                                 const std::vector<double>& w, int64_t cols, const std::vector<double>& bias) {
  const auto absolute = [](std::vector<double> values) {
    for (double& v : values) v = std::fabs(v);
    return values;
  };
  double largest = 0;
  for (const double v : Project(absolute(x), rows, inner, absolute(w), cols, absolute(bias))) {
    largest = std::max(largest, v);
  }
  return largest;
}

template <typename T>
std::vector<T> Convert(const std::vector<double>& from) {
  return std::vector<T>(from.begin(), from.end());
}

template <typename T>
const T* DataOrNull(const std::vector<T>& values, bool present) {
  return present ? values.data() : nullptr;
}

}  // namespace

TokensCase RandomTokens(const Sizes& s, int64_t d_model, int64_t d_context, int64_t d_out, uint64_t seed) {
  TokensCase c;
  c.attention = RandomCase(s, seed);
  c.d_model = d_model;
  c.d_context = d_context;
  c.d_out = d_out;
  uint64_t next = 100 * seed;
  const auto random = [&](int64_t count, int64_t inner) {
    std::vector<double> values = RandomNormal(count, ++next);
    for (double& v : values) v = static_cast<float>(v / std::sqrt(static_cast<double>(std::max<int64_t>(inner, 1))));
    return values;
  };
  c.x = random(s.batch * s.n * d_model, 1);
  c.context = random(s.batch * s.m * d_context, 1);
  c.w_q = random(d_model * s.heads * s.d, d_model);
  c.w_k = random(d_context * s.kv_heads * s.d, d_context);
  c.w_v = random(d_context * s.kv_heads * s.d_value, d_context);
  c.w_o = random(s.heads * s.d_value * d_out, s.heads * s.d_value);
  c.b_q = random(s.heads * s.d, 4);
  c.b_k = random(s.kv_heads * s.d, 4);
  c.b_v = random(s.kv_heads * s.d_value, 4);
  c.b_o = random(d_out, 4);
  return c;
}

Answer TokensOracle(const TokensCase& c) {
  const AttentionCase& a = c.attention;
  Answer answer = Oracle(Projected(c));
  answer.output = SwapRowsAndHeads(answer.output, a.batch, a.heads, a.n, a.d_value);
  const int64_t merged = a.heads * a.d_value;
  std::vector<double> w_o = c.w_o;
  if (w_o.empty()) {
    w_o.assign(static_cast<size_t>(merged * merged), 0);
    for (int64_t i = 0; i < merged; ++i) w_o[static_cast<size_t>(i * merged + i)] = 1;
  }
  answer.output = Project(answer.output, a.batch * a.n, merged, w_o, c.w_o.empty() ? merged : c.d_out, c.b_o);
  return answer;
}

// The projections' roundings (each element's error is at most inner times epsilon times its absolute sum, here with
// sqrt(inner), as errors mostly cancel) move the scores, on top of the attention's own error; w_o carries the values'
// error on by the largest absolute column sum.
Tolerance TokensTolerance(const TokensCase& unplaced, double epsilon) {
  const TokensCase c = PlacedTokensOf(unplaced);
  const AttentionCase a = Projected(c);
  const auto part = [&](const std::vector<double>& x, int64_t rows, int64_t inner, const std::vector<double>& w,
                        int64_t cols, const std::vector<double>& bias) {
    return 2 * epsilon * (std::sqrt(static_cast<double>(inner)) + 1) *
           LargestAbsoluteProjection(x, rows, inner, w, cols, bias);
  };
  const int64_t keys = a.batch * a.m;
  const double query = part(c.x, a.batch * a.n, c.d_model, c.w_q, a.heads * a.d, c.b_q);
  const double key = part(ContextOf(c), keys, c.d_context, c.w_k, a.kv_heads * a.d_key, c.b_k);
  const double value = part(ContextOf(c), keys, c.d_context, c.w_v, a.kv_heads * a.d_value, c.b_v);
  const auto largest = [](const std::vector<double>& values) {
    double max = 0;
    for (const double v : values) max = std::max(max, std::fabs(v));
    return max;
  };
  // A rotation spreads an element's error over two.
  const double spread = std::holds_alternative<RotaryPosition>(a.position) ? 2 : 1;
  const Sensitivity sensitivity = SensitivityOf(a);
  const double moved = spread * (query * sensitivity.query + key * sensitivity.key);
  Tolerance t = ToleranceFor(a, epsilon);
  const double generated = std::holds_alternative<GeneratorExpNormalization>(a.normalization)
                               ? static_cast<double>(a.n) * std::get<GeneratorExpNormalization>(a.normalization).time
                               : 1;
  const double weight = t.weight + 2 * moved * generated;
  const double logs = 2 * std::log(static_cast<double>(a.m) + 2);
  const double merged = weight * largest(a.value) + value;
  const int64_t merged_cols = a.heads * a.d_value;
  double output = merged;
  if (!c.w_o.empty()) {
    const std::vector<double> ones(static_cast<size_t>(merged_cols), 1);
    const double columns = LargestAbsoluteProjection(ones, 1, merged_cols, c.w_o, c.d_out, {});
    output = columns * (merged + 2 * epsilon * std::sqrt(static_cast<double>(merged_cols)) * (largest(a.value) + 1));
  }
  return {t.score + moved, output + 2 * epsilon * (largest(c.b_o) + largest(a.value)), weight, t.lse + 2 * moved,
          weight * logs};
}

template <typename T>
TokensInputs<T>::TokensInputs(const TokensCase& c)
    : case_(c),
      x_(Convert<T>(c.x)),
      context_(Convert<T>(c.context)),
      w_q_(Convert<T>(c.w_q)),
      w_k_(Convert<T>(c.w_k)),
      w_v_(Convert<T>(c.w_v)),
      w_o_(Convert<T>(c.w_o)),
      b_q_(Convert<T>(c.b_q)),
      b_k_(Convert<T>(c.b_k)),
      b_v_(Convert<T>(c.b_v)),
      b_o_(Convert<T>(c.b_o)),
      bias_(Convert<T>(c.attention.bias.data)),
      parameters_(c.attention) {}

template <typename T>
TokensProblem<T> TokensInputs<T>::problem() const {
  const AttentionCase& a = case_.attention;
  TokensProblem<T> p;
  p.d_model = case_.d_model;
  p.d_context = case_.d_context;
  p.d_out = case_.w_o.empty() ? a.heads * a.d_value : case_.d_out;
  p.x = x_.data();
  p.context = case_.context.empty() ? p.x : context_.data();
  p.w_q = w_q_.data();
  p.w_k = w_k_.data();
  p.w_v = w_v_.data();
  p.w_o = DataOrNull(w_o_, !case_.w_o.empty());
  p.b_q = DataOrNull(b_q_, !case_.b_q.empty());
  p.b_k = DataOrNull(b_k_, !case_.b_k.empty());
  p.b_v = DataOrNull(b_v_, !case_.b_v.empty());
  p.b_o = DataOrNull(b_o_, !case_.b_o.empty());
  p.attention = ProblemWithoutHeads<T>(a, bias_, parameters_);
  return p;
}

template <typename T>
absl::Status RunTokens(const TokensCase& c, runtime::Executor& executor, runtime::BufferPool& pool, Answer& answer) {
  const TokensInputs<T> inputs(c);
  const TokensProblem<T> p = inputs.problem();
  const AttentionCase& a = c.attention;
  const int64_t rows = a.batch * a.heads * a.n;
  ResultMemory<T> memory(a.batch * a.n * p.d_out, rows, a.m);
  const absl::Status done =
      AttentionFromTokens(executor, pool, p,
                          TokensResult<T>{memory.output.data(), memory.weights.data(), memory.scores.data(),
                                          memory.lse.data(), memory.entropy.data()});
  answer = memory.ToAnswer();
  return done;
}

template <typename T>
void ExpectTokensAgreement(const TokensCase& c) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Answer want = TokensOracle(c);
  const Tolerance tolerance = TokensTolerance(c, std::numeric_limits<T>::epsilon());
  Answer got;
  const absl::Status done = RunTokens<T>(c, executor, got);
  ASSERT_TRUE(done.ok()) << c.attention.name << ": " << done;
  EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output)) << c.attention.name << " output";
  EXPECT_TRUE(AllNear(got.weights, want.weights, tolerance.weight)) << c.attention.name << " weights";
  EXPECT_TRUE(AllNear(got.scores, want.scores, tolerance.score)) << c.attention.name << " scores";
  EXPECT_TRUE(AllNear(got.lse, want.lse, tolerance.lse)) << c.attention.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, tolerance.entropy)) << c.attention.name << " entropy";
}

template class TokensInputs<float>;
template class TokensInputs<double>;
template absl::Status RunTokens<float>(const TokensCase&, runtime::Executor&, runtime::BufferPool&, Answer&);
template absl::Status RunTokens<double>(const TokensCase&, runtime::Executor&, runtime::BufferPool&, Answer&);
template void ExpectTokensAgreement<float>(const TokensCase&);
template void ExpectTokensAgreement<double>(const TokensCase&);

}  // namespace attend::compute
