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

bool Visible(const AttentionCase& c, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (c.causal) {
    const int64_t place = c.alignment == Alignment::kTopLeft ? i : i + c.m - c.n;
    if (j > place) return false;
  }
  if (!c.key_lengths.empty() && j >= c.key_lengths[static_cast<size_t>(b)]) return false;
  return c.allowed.data.empty() || BroadcastAt(c.allowed, b, h, i, j) != 0;
}

const double* Row(const std::vector<double>& matrix, int64_t row, int64_t cols) { return matrix.data() + row * cols; }

double ScoreOf(const AttentionCase& c, int64_t b, int64_t h, int64_t i, int64_t j) {
  if (!Visible(c, b, h, i, j)) return kMinusInfinity;
  const double* q = Row(c.query, (b * c.heads + h) * c.n + i, c.d);
  const double* k = Row(c.key, (b * c.kv_heads + h / (c.heads / c.kv_heads)) * c.m + j, c.d);
  double dot = 0;
  for (int64_t l = 0; l < c.d; ++l) dot += q[l] * k[l];
  return dot * c.scale + (c.bias.data.empty() ? 0 : BroadcastAt(c.bias, b, h, i, j));
}

double LogSumExp(const double* scores, int64_t count) {
  const double max = count == 0 ? kMinusInfinity : *std::max_element(scores, scores + count);
  if (max == kMinusInfinity) return max;
  double sum = 0;
  for (int64_t j = 0; j < count; ++j) sum += std::exp(scores[j] - max);
  return max + std::log(sum);
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

std::vector<double> ScoresOfHead(const AttentionCase& c, int64_t b, int64_t h) {
  std::vector<double> scores;
  for (int64_t i = 0; i < c.n; ++i) {
    for (int64_t j = 0; j < c.m; ++j) scores.push_back(ScoreOf(c, b, h, i, j));
  }
  return scores;
}

Answer Oracle(const AttentionCase& c) {
  Answer a;
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      const std::vector<double> scores = ScoresOfHead(c, b, h);
      std::vector<double> lse;
      for (int64_t i = 0; i < c.n; ++i) lse.push_back(LogSumExp(scores.data() + i * c.m, c.m));
      const std::vector<double> weights = WeightsOfHead(c, scores.data(), lse.data());
      const int64_t kv_head = b * c.kv_heads + h / (c.heads / c.kv_heads);
      for (int64_t i = 0; i < c.n; ++i) {
        std::vector<double> row(static_cast<size_t>(c.d_value), 0);
        double entropy = 0;
        for (int64_t j = 0; j < c.m; ++j) {
          const double weight = weights[static_cast<size_t>(i * c.m + j)];
          if (weight > 0) entropy -= weight * std::log(weight);
          const double* v = Row(c.value, kv_head * c.m + j, c.d_value);
          for (int64_t l = 0; l < c.d_value; ++l) row[static_cast<size_t>(l)] += weight * v[l];
        }
        a.output.insert(a.output.end(), row.begin(), row.end());
        a.entropy.push_back(entropy);
      }
      a.weights.insert(a.weights.end(), weights.begin(), weights.end());
      a.scores.insert(a.scores.end(), scores.begin(), scores.end());
      a.lse.insert(a.lse.end(), lse.begin(), lse.end());
    }
  }
  return a;
}

}  // namespace attend::compute
