// Attention from tokens: four projections and the heads between them.
#include <cmath>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/tokens.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/machine.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 3;

// Self-attention with all four weights and biases.
class TokensSetup {
 public:
  TokensSetup(int64_t batch, int64_t n, int64_t d_model, int64_t heads)
      : x_(RandomValues(static_cast<size_t>(batch * n * d_model), 21)),
        bias_(RandomValues(static_cast<size_t>(d_model), 26)),
        output_(x_.size()) {
    for (size_t i = 0; i < 4; ++i) {
      weights_[i] = RandomValues(static_cast<size_t>(d_model * d_model), static_cast<uint32_t>(22 + i));
      for (float& w : weights_[i]) w /= std::sqrt(static_cast<float>(d_model));
    }
    problem_.d_model = problem_.d_context = problem_.d_out = d_model;
    problem_.x = problem_.context = x_.data();
    problem_.w_q = weights_[0].data();
    problem_.w_k = weights_[1].data();
    problem_.w_v = weights_[2].data();
    problem_.w_o = weights_[3].data();
    problem_.b_q = problem_.b_k = problem_.b_v = problem_.b_o = bias_.data();
    compute::AttentionProblem<float>& a = problem_.attention;
    a.batch = batch;
    a.heads = a.kv_heads = heads;
    a.n = a.m = n;
    a.d = a.d_key = a.d_value = d_model / heads;
    a.scale = 1 / std::sqrt(static_cast<double>(a.d));
  }

  const compute::TokensProblem<float>& problem() const { return problem_; }

  void Run(runtime::ComputePool& pool) {
    RunAsCall(pool, [&](runtime::Executor& executor) {
      const compute::TokensResult<float> result{output_.data()};
      if (!compute::AttentionFromTokens(executor, buffers_, problem_, result).ok()) std::abort();
    });
  }

 private:
  std::vector<float> x_;
  std::vector<float> weights_[4];
  std::vector<float> bias_;
  std::vector<float> output_;
  compute::TokensProblem<float> problem_;
  runtime::BufferPool buffers_;
};

void BenchShape(int64_t batch, int64_t n, int64_t d_model, int64_t heads, SgemmPeak& peak, Figures& figures) {
  TokensSetup setup(batch, n, d_model, heads);
  runtime::ComputePool one(1);
  const double seconds = MedianSecondsBeside(peak, kSecondsEach, [&] { return Seconds([&] { setup.Run(one); }); });
  figures.Add(absl::StrCat("attention.tokens.", batch, "x", n, "x", d_model, "h", heads, ".1t.share_of_peak"),
              compute::TokensFlops(setup.problem()) / seconds / peak.flops_per_second(), "ratio");
}

}  // namespace

void BenchAttentionTokens(Figures& figures) {
  SgemmPeak peak;
  BenchShape(4, 512, 768, 12, peak, figures);
  BenchShape(1, 512, 1024, 16, peak, figures);  // rows of a power of two
  BenchShape(8, 64, 512, 8, peak, figures);     // short sequences
}

}  // namespace attend::bench
