// What the backward pass costs, from its shapes: floating-point operations and working memory.
#include <algorithm>

#include "server/compute/attention/attention.h"
#include "server/compute/attention/backward.h"
#include "server/compute/attention/bias_gradient.h"
#include "server/compute/attention/forward.h"
#include "server/compute/attention/generator_attention.h"
#include "server/compute/attention/generator_backward.h"
#include "server/compute/attention/softmax_backward.h"
#include "server/compute/matrix_exp/frechet.h"

namespace attend::compute {

template <typename T>
double AttentionBackwardFlops(const AttentionProblem<T>& problem) {
  const auto d = static_cast<double>(problem.d);
  const auto d_value = static_cast<double>(problem.d_value);
  if (const auto* generator = std::get_if<GeneratorExpNormalization>(&problem.normalization)) {
    // The rates are known only once they are computed: as if each were about 1.
    const auto n = static_cast<double>(problem.n);
    const double products = 2 * n * n * (3 * d + 2 * d_value);
    return static_cast<double>(problem.batch * problem.heads) *
           (products + GeneratorExpAdjointFlops(problem.n, generator->time * n));
  }
  // Five products over the visible pairs, where the forward pass has two.
  const double forward = AttentionFlops(problem);
  return forward == 0 ? 0 : forward * (3 * d + 2 * d_value) / (d + d_value);
}

template <typename T>
double AttentionBackwardWorkspaceBytes(const AttentionProblem<T>& problem, int workers) {
  const double bias = BiasGradient<T>::Bytes(problem);
  if (!std::holds_alternative<GeneratorExpNormalization>(problem.normalization)) {
    return bias + workers * SoftmaxBackwardBytes(problem);
  }
  const bool whole_heads = problem.n <= kLargestWholeHead;
  const double heads =
      whole_heads ? std::min<double>(workers, static_cast<double>(problem.batch * problem.kv_heads)) : 1;
  const double tiles = static_cast<double>(TileScratch<T>::Elements(problem.n, problem.n) * sizeof(T)) * workers;
  return bias + tiles + heads * GeneratorBackwardBytes(problem);
}

template double AttentionBackwardFlops(const AttentionProblem<float>&);
template double AttentionBackwardFlops(const AttentionProblem<double>&);
template double AttentionBackwardWorkspaceBytes(const AttentionProblem<float>&, int);
template double AttentionBackwardWorkspaceBytes(const AttentionProblem<double>&, int);

}  // namespace attend::compute
