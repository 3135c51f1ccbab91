// What the backward pass costs, from its shapes: floating-point operations and working memory.
#include <algorithm>

#include "server/compute/attention/additive.h"
#include "server/compute/attention/additive_backward.h"
#include "server/compute/attention/attention.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/generator_attention.h"
#include "server/compute/attention/generator_backward.h"
#include "server/compute/attention/prepare.h"
#include "server/compute/attention/prepare_backward.h"
#include "server/compute/attention/score_gradient.h"
#include "server/compute/attention/softmax_backward.h"
#include "server/compute/matrix_exp/frechet.h"

namespace attend::compute {
namespace {

// Of one pair: its score made again, and its slope taken back to query and key.
template <typename T>
double ScoreFlops(const AttentionProblem<T>& problem) {
  if (const auto* additive = std::get_if<AdditiveScore<T>>(&problem.score)) {
    return (kAdditiveTermFlops + kAdditiveBackwardTermFlops) * static_cast<double>(additive->h);
  }
  return 6 * static_cast<double>(problem.d_key);
}

}  // namespace

template <typename T>
double AttentionBackwardFlops(const AttentionProblem<T>& problem) {
  // Each of Prepare's products again, and two on the way back.
  const double prepare = 3 * PrepareFlops(problem);
  const double pair = ScoreFlops(problem) + 4 * static_cast<double>(problem.d_value);
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&problem.normalization)) {
    // The rates are known only once they are computed: as if each were about 1.
    const auto n = static_cast<double>(problem.n);
    return prepare + static_cast<double>(problem.batch * problem.heads) *
                         (n * n * pair + GeneratorExpAdjointFlops(problem.n, generator->time * n));
  }
  return prepare + VisiblePairs(problem) * pair;
}

template <typename T>
double AttentionBackwardWorkspaceBytes(const AttentionProblem<T>& problem, int workers) {
  const double sums =
      BiasGradient<T>::Bytes(problem) + ScoreGradient<T>::Bytes(problem) + PrepareBackward<T>::Bytes(problem);
  if (!std::holds_alternative<GeneratorExpNormalization>(problem.normalization)) {
    return sums + SoftmaxBackwardBytes(problem, workers);
  }
  const bool whole_heads = problem.n <= kLargestWholeHead;
  const double heads =
      whole_heads ? std::min<double>(workers, static_cast<double>(problem.batch * problem.kv_heads)) : 1;
  const double tiles = static_cast<double>(TileScratch<T>::Elements(problem.n, problem.n) * sizeof(T)) * workers;
  return sums + tiles + heads * GeneratorBackwardBytes(problem);
}

template <typename T>
double AttentionGradientsWorkspaceBytes(const AttentionProblem<T>& problem, const AttentionResult<T>& wanted,
                                        int workers) {
  const double rows = static_cast<double>(problem.batch * problem.heads) * static_cast<double>(problem.n);
  return AttentionWorkspaceBytes(problem, wanted, workers) + rows * static_cast<double>(sizeof(T)) +
         AttentionBackwardWorkspaceBytes(problem, workers);
}

template double AttentionBackwardFlops(const AttentionProblem<float>&);
template double AttentionBackwardFlops(const AttentionProblem<double>&);
template double AttentionBackwardWorkspaceBytes(const AttentionProblem<float>&, int);
template double AttentionBackwardWorkspaceBytes(const AttentionProblem<double>&, int);

template double AttentionGradientsWorkspaceBytes(const AttentionProblem<float>&, const AttentionResult<float>&, int);
template double AttentionGradientsWorkspaceBytes(const AttentionProblem<double>&, const AttentionResult<double>&, int);

}  // namespace attend::compute
