#include "server/compute/attention/generator_rates.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "server/compute/convert.h"
#include "server/compute/tensor.h"
#include "server/compute/vector_math.h"

namespace attend::compute {
namespace {

template <typename T>
void ApplyRate(Rate rate, T* row, int64_t count) {
  switch (rate) {
    case Rate::kExp:
      return Exp(row, count);
    case Rate::kSoftplus:
      return Softplus(row, count);
    case Rate::kRelu:
      return Relu(row, count);
  }
}

template <typename T>
absl::Status RatesOfBlock(const AttentionProblem<T>& problem, const GeneratorExpNormalization& generator,
                          const QueryBlock& block, const HeadResult<T>& scored, const Matrix<T>& rates,
                          const TileScratch<T>& scratch, int worker) {
  const int64_t n = problem.n;
  if (absl::Status done = SoftmaxBlock(problem, block, scored, scratch, worker); !done.ok()) return done;
  for (int64_t i = block.first; i < block.first + block.count; ++i) {
    T* row = rates.row(i);
    if (row != scored.scores + i * n) std::copy_n(scored.scores + i * n, n, row);
    row[i] = -std::numeric_limits<T>::infinity();  // nothing flows from a query to itself
    ApplyRate(generator.rate, row, n);
    if (!AllFinite(row, static_cast<size_t>(n))) {
      return absl::OutOfRangeError(absl::StrCat("rates of the generator overflow ", NameOf(DTypeOf<T>())));
    }
  }
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status ComputeRates(runtime::Executor& executor, runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                          const GeneratorExpNormalization& generator, int64_t batch, int64_t head,
                          const HeadResult<T>& wanted, const Matrix<T>& rates) {
  const int64_t n = problem.n;
  HeadResult<T> scored;
  scored.scores = wanted.scores != nullptr ? wanted.scores : rates.data;
  scored.lse = wanted.lse;
  const TileScratch<T> scratch(pool, n, n, executor.max_workers());
  const double tile_flops =
      2.0 * static_cast<double>(n) * static_cast<double>(problem.d * std::min(n, TileShape<T>::kQueries));
  return executor.ForEachTile(QueryBlocks<T>(n), tile_flops, [&](int64_t index, int worker) {
    return RatesOfBlock(problem, generator, BlockOf<T>(batch, head, index, n), scored, rates, scratch, worker);
  });
}

template absl::Status ComputeRates(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<float>&,
                                   const GeneratorExpNormalization&, int64_t, int64_t, const HeadResult<float>&,
                                   const Matrix<float>&);
template absl::Status ComputeRates(runtime::Executor&, runtime::BufferPool&, const AttentionProblem<double>&,
                                   const GeneratorExpNormalization&, int64_t, int64_t, const HeadResult<double>&,
                                   const Matrix<double>&);

}  // namespace attend::compute
