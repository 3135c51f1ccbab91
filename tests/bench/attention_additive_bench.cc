// Additive scores against what one would write without a kernel.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

// x [rows, cols] w^T, w [h, cols].
void PlainProject(const float* x, int64_t rows, int64_t cols, const float* w, int64_t h, float* out) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t l = 0; l < h; ++l) {
      float sum = 0;
      for (int64_t c = 0; c < cols; ++c) sum += x[i * cols + c] * w[l * cols + c];
      out[i * h + l] = sum;
    }
  }
}

// One head, its inner loop over h where memory is contiguous.
void PlainHead(const compute::AttentionProblem<float>& p, const compute::AdditiveScore<float>& score, int64_t head,
               float* output) {
  const int64_t h = score.h;
  std::vector<float> query(static_cast<size_t>(p.n * h)), key(static_cast<size_t>(p.m * h));
  std::vector<float> weights(static_cast<size_t>(p.m));
  PlainProject(p.query.at(0, head), p.n, p.d, score.w_query, h, query.data());
  PlainProject(p.key.at(0, head), p.m, p.d_key, score.w_key, h, key.data());
  for (int64_t i = 0; i < p.n; ++i) {
    const float* q = query.data() + i * h;
    for (int64_t j = 0; j < p.m; ++j) {
      const float* k = key.data() + j * h;
      float sum = 0;
      for (int64_t l = 0; l < h; ++l) sum += score.w_score[l] * std::tanh(q[l] + k[l]);
      weights[static_cast<size_t>(j)] = sum;
    }
    const float largest = *std::max_element(weights.begin(), weights.end());
    float total = 0;
    for (float& w : weights) total += w = std::exp(w - largest);
    float* row = output + i * p.d_value;
    std::fill_n(row, p.d_value, 0.0f);
    for (int64_t j = 0; j < p.m; ++j) {
      const float weight = weights[static_cast<size_t>(j)] / total;
      const float* v = p.value.at(0, head, j);
      for (int64_t c = 0; c < p.d_value; ++c) row[c] += weight * v[c];
    }
  }
}

// The kernel and the loop answer alike, or the comparison means nothing.
void ExpectAlike(const float* a, const float* b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (!(std::fabs(a[i] - b[i]) < 1e-4f)) std::abort();
  }
}

}  // namespace

void BenchAttentionAdditive(Figures& figures) {
  constexpr int64_t kWidth = 64;
  const AttentionShape shape{.n = 512, .m = 512};
  AttentionSetup setup(shape);
  const auto parameters = [](size_t count, uint32_t seed) {
    std::vector<float> values = RandomValues(count, seed);
    for (float& v : values) v /= 8;
    return values;
  };
  const std::vector<float> w_query = parameters(kWidth * 64, 11), w_key = parameters(kWidth * 64, 12),
                           w_score = parameters(kWidth, 13);
  const compute::AdditiveScore<float> score{kWidth, w_query.data(), w_key.data(), w_score.data()};
  setup.problem().score = score;
  std::vector<float> plain(static_cast<size_t>(shape.heads * shape.n * shape.d));
  runtime::ComputePool one(1);
  const auto run_plain = [&] {
    for (int64_t head = 0; head < shape.heads; ++head) {
      PlainHead(setup.problem(), score, head, plain.data() + head * shape.n * shape.d);
    }
  };
  const auto medians = MedianSecondsInTurns(5, {[&] { setup.Run(one); }, run_plain});
  ExpectAlike(setup.result().output.data, plain.data(), static_cast<int64_t>(plain.size()));
  figures.Add(absl::StrCat("attention.additive.", shape.Name(), "h", kWidth, ".1t.over_plain_loop"),
              medians[1] / medians[0], "ratio");
}

}  // namespace attend::bench
