#include <algorithm>
#include <cmath>

#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {
namespace {

double BroadcastAt(const auto& c, int64_t b, int64_t h, int64_t i, int64_t j) {
  const std::array<int64_t, 4> index = {b, h, i, j};
  int64_t offset = 0;
  for (size_t k = 0; k < 4; ++k) offset = offset * c.shape[k] + (c.shape[k] == 1 ? 0 : index[k]);
  return static_cast<double>(c.data[static_cast<size_t>(offset)]);
}

int64_t PlaceOf(const AttentionCase& c, int64_t query) {
  return c.alignment == Alignment::kTopLeft ? query : query + c.m - c.n;
}

bool Visible(const AttentionCase& c, int64_t b, int64_t h, int64_t i, int64_t j) {
  const int64_t place = PlaceOf(c, i);
  if (c.causal && j > place) return false;
  if (c.window_left && j < place - *c.window_left) return false;
  if (c.window_right && j > place + *c.window_right) return false;
  if (!c.key_lengths.empty() && j >= c.key_lengths[static_cast<size_t>(b)]) return false;
  return c.allowed.data.empty() || BroadcastAt(c.allowed, b, h, i, j) != 0;
}

const double* Row(const std::vector<double>& matrix, int64_t row, int64_t cols) { return matrix.data() + row * cols; }

double Dot(const double* a, const double* b, int64_t count) {
  double dot = 0;
  for (int64_t l = 0; l < count; ++l) dot += a[l] * b[l];
  return dot;
}

double RawScore(const AttentionCase& c, const double* q, const double* k) {
  double score = 0;
  switch (c.score) {
    case ScoreKind::kDotProduct:
      return c.scale * Dot(q, k, c.d);
    case ScoreKind::kBilinear:
      for (int64_t l = 0; l < c.d; ++l) score += q[l] * Dot(Row(c.w_bilinear, l, c.d_key), k, c.d_key);
      return c.scale * score;
    case ScoreKind::kAdditive:
      for (int64_t l = 0; l < c.h; ++l) {
        score += c.w_score[static_cast<size_t>(l)] *
                 std::tanh(Dot(Row(c.w_query, l, c.d), q, c.d) + Dot(Row(c.w_key, l, c.d_key), k, c.d_key));
      }
      return score;
  }
  return score;
}

// REQUIRES: c has no position.
double ScoreOf(const AttentionCase& c, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (!Visible(c, b, h, i, j)) return kMinusInfinity;
  double score = RawScore(c, Row(c.query, (b * c.heads + h) * c.n + i, c.d),
                          Row(c.key, (b * c.kv_heads + h / (c.heads / c.kv_heads)) * c.m + j, c.d_key));
  const auto* softmax = std::get_if<SoftmaxNormalization>(&c.normalization);
  if (softmax != nullptr && softmax->softcap > 0) score = softmax->softcap * std::tanh(score / softmax->softcap);
  if (!c.alibi_slopes.empty()) {
    score -= c.alibi_slopes[static_cast<size_t>(h)] * std::fabs(static_cast<double>(PlaceOf(c, i) - j));
  }
  return score + (c.bias.data.empty() ? 0 : BroadcastAt(c.bias, b, h, i, j));
}

// x [heads, rows, cols]: row r turned by the angles of place r + first.
void RotateHeads(std::vector<double>& x, int64_t rows, int64_t cols, int64_t first, const RotaryPosition& position) {
  for (size_t row = 0; row * static_cast<size_t>(cols) < x.size(); ++row) {
    const auto place = static_cast<double>(static_cast<int64_t>(row) % rows + first);
    double* values = x.data() + row * static_cast<size_t>(cols);
    for (int64_t i = 0; i < cols / 2; ++i) {
      const double angle = place / std::pow(position.base, 2 * static_cast<double>(i) / static_cast<double>(cols));
      double& first_of_pair = values[position.interleaved ? 2 * i : i];
      double& second_of_pair = values[position.interleaved ? 2 * i + 1 : i + cols / 2];
      const double x_before = first_of_pair;
      const double y_before = second_of_pair;
      first_of_pair = x_before * std::cos(angle) - y_before * std::sin(angle);
      second_of_pair = y_before * std::cos(angle) + x_before * std::sin(angle);
    }
  }
}

double LogSumExp(const double* scores, int64_t count) {
  const double max = count == 0 ? kMinusInfinity : *std::max_element(scores, scores + count);
  if (max == kMinusInfinity) return max;
  long double sum = 0;  // of so many keys that double's own roundings would show
  for (int64_t j = 0; j < count; ++j) sum += std::exp(scores[j] - max);
  return max + static_cast<double>(std::log(sum));
}

double RateOf(Rate rate, double score) {
  switch (rate) {
    case Rate::kExp:
      return std::exp(score);
    case Rate::kSoftplus:
      return std::max(score, 0.0) + std::log1p(std::exp(-std::fabs(score)));
    case Rate::kRelu:
      return std::max(score, 0.0);
  }
  return 0;
}

using LongMatrix = std::vector<long double>;

LongMatrix Multiply(const LongMatrix& a, const LongMatrix& b, int64_t n) {
  LongMatrix product(a.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t l = 0; l < n; ++l) {
      const long double factor = a[i * n + l];
      if (factor == 0) continue;
      for (int64_t j = 0; j < n; ++j) product[i * n + j] += factor * b[l * n + j];
    }
  }
  return product;
}

// exp(time * G) [n, n]: with P = I + G / rate, which has no negative entry, the series of exp(x P) exp(-x) for an x of
// at most 1, then squarings.
std::vector<double> ExpOfGenerator(const std::vector<double>& g, int64_t n, double time) {
  long double rate = 0;
  for (int64_t i = 0; i < n; ++i) rate = std::max<long double>(rate, -g[i * n + i]);
  long double x = rate * time;
  int squarings = 0;
  for (; x > 1; x /= 2) ++squarings;
  LongMatrix jump(g.size());
  LongMatrix term(g.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) jump[i * n + j] = (i == j ? 1 : 0) + (rate > 0 ? g[i * n + j] / rate : 0);
    term[i * n + i] = std::exp(-x);
  }
  LongMatrix sum = term;
  for (int k = 1; k <= 20; ++k) {  // 1 / 21! is below the last place of long double
    term = Multiply(term, jump, n);
    for (size_t e = 0; e < sum.size(); ++e) sum[e] += term[e] *= x / k;
  }
  for (int k = 0; k < squarings; ++k) sum = Multiply(sum, sum, n);
  return std::vector<double>(sum.begin(), sum.end());
}

std::vector<double> WeightsOfHead(const AttentionCase& c, const double* scores, const double* lse) {
  std::vector<double> weights(static_cast<size_t>(c.n * c.m));
  const auto* generator = std::get_if<GeneratorExpNormalization>(&c.normalization);
  for (int64_t i = 0; i < c.n; ++i) {
    double row_sum = 0;
    for (int64_t j = 0; j < c.m; ++j) {
      const double score = scores[i * c.m + j];
      double& weight = weights[static_cast<size_t>(i * c.m + j)];
      if (generator == nullptr) {
        weight = score == kMinusInfinity ? 0 : std::exp(score - lse[i]);
      } else if (i != j && score != kMinusInfinity) {
        weight = RateOf(generator->rate, score);
        row_sum += weight;
      }
    }
    if (generator != nullptr) weights[static_cast<size_t>(i * c.m + i)] = -row_sum;
  }
  return generator == nullptr ? weights : ExpOfGenerator(weights, c.n, generator->time);
}

}  // namespace

std::vector<double> WithSinusoids(std::vector<double> x, int64_t rows, int64_t cols, double base) {
  for (size_t e = 0; e < x.size(); ++e) {
    const int64_t col = static_cast<int64_t>(e) % cols;
    const auto place = static_cast<double>(static_cast<int64_t>(e) / cols % rows);
    const double angle = place / std::pow(base, static_cast<double>(col / 2 * 2) / static_cast<double>(cols));
    x[e] += col % 2 == 0 ? std::sin(angle) : std::cos(angle);
  }
  return x;
}

AttentionCase Placed(AttentionCase c) {
  if (const auto* sinusoidal = std::get_if<SinusoidalPosition>(&c.position)) {
    c.query = WithSinusoids(c.query, c.n, c.d, sinusoidal->base);
    c.key = WithSinusoids(c.key, c.m, c.d_key, sinusoidal->base);
  } else if (const auto* rotary = std::get_if<RotaryPosition>(&c.position)) {
    RotateHeads(c.query, c.n, c.d, PlaceOf(c, 0), *rotary);
    RotateHeads(c.key, c.m, c.d_key, 0, *rotary);
  }
  c.position = NoPosition{};
  return c;
}

std::vector<double> ScoresOfHead(const AttentionCase& unplaced, int64_t b, int64_t h) {
  const AttentionCase c = Placed(unplaced);
  std::vector<double> scores;
  for (int64_t i = 0; i < c.n; ++i) {
    for (int64_t j = 0; j < c.m; ++j) scores.push_back(ScoreOf(c, b, h, i, j));
  }
  return scores;
}

Answer Oracle(const AttentionCase& unplaced) {
  const AttentionCase c = Placed(unplaced);
  Answer a;
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      const std::vector<double> scores = ScoresOfHead(c, b, h);
      std::vector<double> lse;
      for (int64_t i = 0; i < c.n; ++i) lse.push_back(LogSumExp(scores.data() + i * c.m, c.m));
      const std::vector<double> weights = WeightsOfHead(c, scores.data(), lse.data());
      const int64_t kv_head = b * c.kv_heads + h / (c.heads / c.kv_heads);
      for (int64_t i = 0; i < c.n; ++i) {
        std::vector<long double> row(static_cast<size_t>(c.d_value), 0);
        long double entropy = 0;
        for (int64_t j = 0; j < c.m; ++j) {
          const double weight = weights[static_cast<size_t>(i * c.m + j)];
          if (weight > 0) entropy -= weight * std::log(weight);
          const double* v = Row(c.value, kv_head * c.m + j, c.d_value);
          for (int64_t l = 0; l < c.d_value; ++l) row[static_cast<size_t>(l)] += weight * v[l];
        }
        a.output.insert(a.output.end(), row.begin(), row.end());
        a.entropy.push_back(static_cast<double>(entropy));
      }
      a.weights.insert(a.weights.end(), weights.begin(), weights.end());
      a.scores.insert(a.scores.end(), scores.begin(), scores.end());
      a.lse.insert(a.lse.end(), lse.begin(), lse.end());
    }
  }
  return a;
}

}  // namespace attend::compute
