// What a call costs, from its shapes: floating-point operations and working memory.
#include <algorithm>
#include <type_traits>

#include "server/compute/attention/additive.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/decode.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/generator_attention.h"
#include "server/compute/attention/panel_block.h"
#include "server/compute/attention/prepare.h"
#include "server/compute/attention/projection.h"
#include "server/compute/attention/tokens.h"
#include "server/compute/attention/tokens_position.h"
#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/matrix_exp.h"

namespace attend::compute {
namespace {

// The sum of i + shift, no less than 0, over i in [0, n).
double SumOfPositive(double n, double shift) {
  const double last = n - 1 + shift;
  if (n <= 0 || last <= 0) return 0;
  const double first = std::max(shift, 1.0);
  return (first + last) * (last - first + 1) / 2;
}

// The sum of i + shift, clamped to [0, limit], over i in [0, n).
double SumOfClamped(double n, int64_t shift, int64_t limit) {
  if (shift <= -KeyBand::kUnbounded) return 0;
  if (shift >= KeyBand::kUnbounded) return n * static_cast<double>(limit);
  return SumOfPositive(n, static_cast<double>(shift)) - SumOfPositive(n, static_cast<double>(shift - limit));
}

double ProductFlops(double rows, double inner, double cols) { return 2 * rows * inner * cols; }

// Of one pair's score, prepared or not.
template <typename T>
double ScoreFlops(const AttentionProblem<T>& problem) {
  if (const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score)) {
    return kAdditiveTermFlops * static_cast<double>(additive->h);
  }
  const bool bilinear = std::holds_alternative<BilinearScore<T>>(problem.score);
  return 2 * static_cast<double>(bilinear ? problem.d_key : problem.d);
}

// The rates are known only once they are computed: as if each were about 1.
template <typename T>
double GeneratorFlops(const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator) {
  const auto n = static_cast<double>(problem.n);
  const double rate_time = generator.time * n;
  const double through_exp =
      GeneratorExpFlops<T>(problem.n, rate_time) + ProductFlops(n, n, static_cast<double>(problem.d_value));
  const double through_action = GeneratorActionFlops<T>(problem.n, problem.d_value, rate_time);
  return static_cast<double>(problem.batch * problem.heads) *
         (n * n * ScoreFlops(problem) + std::min(through_exp, through_action));
}

// Panels fall back on tiles where numbers grow too large.
template <typename T>
double ScratchBytes(const AttentionProblem<T>& problem, int workers) {
  size_t elements = TileScratch<T>::Elements(problem.n, problem.m);
  if constexpr (std::is_same_v<T, float>) elements += PanelScratch::Elements(problem);
  return static_cast<double>(workers) * static_cast<double>(elements * sizeof(T));
}

// The rates, their exponential and what makes it, for each head at work.
template <typename T>
double GeneratorBytes(const AttentionProblem<T>& problem, int workers) {
  const auto n = static_cast<double>(problem.n);
  MatrixExpProblem<T> exponential;
  exponential.batch = 1;
  exponential.n = problem.n;
  exponential.times = {1};
  exponential.structure = MatrixStructure::kGenerator;
  const bool whole_heads = problem.n <= kLargestWholeHead;
  const double heads = whole_heads ? std::min<double>(workers, static_cast<double>(problem.batch * problem.heads)) : 1;
  const double head = 2 * n * n * static_cast<double>(sizeof(T)) +
                      MatrixExpWorkspaceBytes(exponential, whole_heads ? 1 : workers) +
                      GeneratorActionBytes<T>(problem.n, problem.d_value);
  return heads * head + ScratchBytes(problem, workers);
}

}  // namespace

template <typename T>
double VisiblePairs(const AttentionProblem<T>& problem) {
  const auto n = static_cast<double>(problem.n);
  double pairs = 0;
  for (int64_t batch = 0; batch < problem.batch; ++batch) {
    const KeyBand band = VisibleBand(problem, batch);
    pairs += SumOfClamped(n, band.right, band.limit) - SumOfClamped(n, band.left, band.limit);
    // Without lengths every batch is like the first.
    if (problem.mask.key_lengths.empty()) return pairs * static_cast<double>(problem.batch * problem.heads);
  }
  return pairs * static_cast<double>(problem.heads);
}

template <typename T>
double AttentionFlops(const AttentionProblem<T>& problem) {
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&problem.normalization)) {
    return PrepareFlops(problem) + GeneratorFlops(problem, *generator);
  }
  return PrepareFlops(problem) +
         VisiblePairs(problem) * (ScoreFlops(problem) + 2 * static_cast<double>(problem.d_value));
}

template <typename T>
double AttentionWorkspaceBytes(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted, int workers) {
  const double prepared = PrepareBytes(problem);
  if (std::holds_alternative<GeneratorExpNormalization>(problem.normalization)) {
    return prepared + GeneratorBytes(problem, workers);
  }
  const double partial = IsDecoding(problem, wanted) ? PartialResultBytes(problem) : 0;
  return prepared + partial + ScratchBytes(problem, workers);
}

template <typename T>
double TokensFlops(const TokensProblem<T>& problem) {
  const AttentionProblem<T>& a = problem.attention;
  const double queries = static_cast<double>(a.batch) * static_cast<double>(a.n);
  const double keys = static_cast<double>(a.batch) * static_cast<double>(a.m);
  const auto merged = static_cast<double>(a.heads * a.d_value);
  double flops = AttentionFlops(a);
  flops += ProductFlops(queries, static_cast<double>(problem.d_model), static_cast<double>(a.heads * a.d));
  flops += ProductFlops(keys, static_cast<double>(problem.d_context),
                        static_cast<double>(a.kv_heads * (a.d_key + a.d_value)));
  if (problem.w_o != nullptr) flops += ProductFlops(queries, merged, static_cast<double>(problem.d_out));
  return flops;
}

template <typename T>
double TokensWorkspaceBytes(const TokensProblem<T>& problem, const TokensResult<T>& wanted, int workers) {
  const AttentionProblem<T>& a = problem.attention;
  const double queries = static_cast<double>(a.batch) * static_cast<double>(a.n);
  const double keys = static_cast<double>(a.batch) * static_cast<double>(a.m);
  double elements = queries * static_cast<double>(ProjectedStride<T>(a.heads * a.d));
  elements +=
      keys * static_cast<double>(ProjectedStride<T>(a.kv_heads * a.d_key) + ProjectedStride<T>(a.kv_heads * a.d_value));
  if (problem.w_o != nullptr) elements += queries * static_cast<double>(ProjectedStride<T>(a.heads * a.d_value));
  const double placed = PlacedTokensBytes(problem);
  const AttentionProblem<T> inner = WithoutSinusoidalPosition(a);
  const AttentionResult<T> none;
  return placed + elements * static_cast<double>(sizeof(T)) + AttentionWorkspaceBytes(inner, none, workers);
}

template double VisiblePairs(const AttentionProblem<float>&);
template double VisiblePairs(const AttentionProblem<double>&);
template double AttentionFlops(const AttentionProblem<float>&);
template double AttentionFlops(const AttentionProblem<double>&);
template double AttentionWorkspaceBytes(const AttentionProblem<float>&, const AttentionResult<float>&, int);
template double AttentionWorkspaceBytes(const AttentionProblem<double>&, const AttentionResult<double>&, int);
template double TokensFlops(const TokensProblem<float>&);
template double TokensFlops(const TokensProblem<double>&);
template double TokensWorkspaceBytes(const TokensProblem<float>&, const TokensResult<float>&, int);
template double TokensWorkspaceBytes(const TokensProblem<double>&, const TokensResult<double>&, int);

}  // namespace attend::compute
