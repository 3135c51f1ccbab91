#include "server/compute/attention/prepare_backward.h"

#include "server/compute/attention/head_products.h"
#include "server/compute/attention/rotate_back.h"

namespace attend::compute {
namespace {

template <typename T>
AttentionProblem<T> WithScore(AttentionProblem<T> problem, const Score<T>& score) {
  problem.score = score;
  return problem;
}

template <typename T>
HeadMatrices<T> QueriesOf(const AttentionProblem<T>& p, int64_t cols, const HeadsView<T>& view) {
  return {p.batch, p.heads, p.n, cols, view};
}
template <typename T>
HeadMatrices<T> KeysOf(const AttentionProblem<T>& p, int64_t cols, const HeadsView<T>& view) {
  return {p.batch, p.kv_heads, p.m, cols, view};
}

template <typename T>
size_t Elements(const HeadMatrices<T>& of) {
  return static_cast<size_t>(of.batch * of.heads * of.rows * of.cols);
}

}  // namespace

template <typename T>
PrepareBackward<T>::PrepareBackward(runtime::BufferPool& pool, const AttentionProblem<T>& problem,
                                    const AttentionGradients<T>& gradients)
    : pool_(pool),
      problem_(problem),
      gradients_(gradients),
      placed_{WithScore<T>(problem, DotProductScore{}), {}, {}},
      query_slopes_(gradients.query),
      key_slopes_(gradients.key) {}

template <typename T>
absl::Status PrepareBackward<T>::Prepare(runtime::Executor& executor) {
  if (absl::Status done = compute::Prepare(executor, pool_, placed_); !done.ok()) return done;
  ready_.problem = WithScore(placed_.problem, problem_.score);
  if (absl::Status done = compute::Prepare(executor, pool_, ready_); !done.ok()) return done;
  if (std::holds_alternative<DotProductScore>(problem_.score)) return absl::OkStatus();
  const HeadMatrices<T> queries = QueriesOf(problem_, ready_.problem.d, HeadsView<T>{});
  query_memory_ = pool_.AllocateArray<T>(Elements(queries));
  query_slopes_ = ContiguousHeads(query_memory_.template as<T>(), queries.heads, queries.rows, queries.cols);
  if (std::holds_alternative<BilinearScore<T>>(problem_.score)) return absl::OkStatus();
  const HeadMatrices<T> keys = KeysOf(problem_, ready_.problem.d_key, HeadsView<T>{});
  key_memory_ = pool_.AllocateArray<T>(Elements(keys));
  key_slopes_ = ContiguousHeads(key_memory_.template as<T>(), keys.heads, keys.rows, keys.cols);
  return absl::OkStatus();
}

template <typename T>
absl::Status PrepareBackward<T>::Finish(runtime::Executor& executor) const {
  absl::Status done;
  if (const auto* bilinear = std::get_if<BilinearScore<T>>(&problem_.score)) {
    done = FinishBilinear(executor, *bilinear);
  } else if (const auto* additive = std::get_if<AdditiveScore<T>>(&problem_.score)) {
    done = FinishAdditive(executor, *additive);
  }
  const auto* rotary = std::get_if<RotaryPosition>(&problem_.position);
  if (!done.ok() || rotary == nullptr) return done;
  const PlacedRows queries{problem_.batch, problem_.heads, problem_.n, problem_.d, FirstPlace(problem_)};
  const PlacedRows keys{problem_.batch, problem_.kv_heads, problem_.m, problem_.d_key, 0};
  if (done = RotateBack(executor, pool_, *rotary, queries, gradients_.query); !done.ok()) return done;
  return RotateBack(executor, pool_, *rotary, keys, gradients_.key);
}

template <typename T>
absl::Status PrepareBackward<T>::FinishBilinear(runtime::Executor& executor, const BilinearScore<T>& score) const {
  const AttentionProblem<T>& p = problem_;
  const HeadMatrices<T> slopes = QueriesOf(p, p.d_key, query_slopes_);
  const Operand<T> w(score.w, p.d, p.d_key, p.d_key);
  if (absl::Status done = MultiplyHeads(executor, slopes, Transposed(w), gradients_.query); !done.ok()) return done;
  return SumOverHeads<T>(executor, {p.batch, p.heads, p.n, p.d, placed_.problem.query},
                         {p.batch, p.heads, p.n, p.d_key, AsConst(query_slopes_)}, gradients_.parameters.w_bilinear);
}

template <typename T>
absl::Status PrepareBackward<T>::FinishAdditive(runtime::Executor& executor, const AdditiveScore<T>& score) const {
  const AttentionProblem<T>& p = problem_;
  const auto side = [&](const HeadMatrices<T>& slopes, const HeadMatrices<const T>& placed, const T* w, T* w_gradient,
                        const HeadsView<T>& to) {
    if (absl::Status done = ScaleColumns(executor, slopes, score.w_score); !done.ok()) return done;
    const Operand<T> weight(w, score.h, placed.cols, placed.cols);
    if (absl::Status done = MultiplyHeads(executor, slopes, weight, to); !done.ok()) return done;
    return SumOverHeads<T>(executor, {slopes.batch, slopes.heads, slopes.rows, slopes.cols, AsConst(slopes.view)},
                           placed, w_gradient);
  };
  absl::Status done = side(QueriesOf(p, score.h, query_slopes_), {p.batch, p.heads, p.n, p.d, placed_.problem.query},
                           score.w_query, gradients_.parameters.w_query, gradients_.query);
  if (!done.ok()) return done;
  return side(KeysOf(p, score.h, key_slopes_), {p.batch, p.kv_heads, p.m, p.d_key, placed_.problem.key}, score.w_key,
              gradients_.parameters.w_key, gradients_.key);
}

template <typename T>
double PrepareBackward<T>::Bytes(const AttentionProblem<T>& p) {
  const double queries = static_cast<double>(p.batch * p.heads) * static_cast<double>(p.n);
  const double keys = static_cast<double>(p.batch * p.kv_heads) * static_cast<double>(p.m);
  double elements = 0;
  if (std::holds_alternative<BilinearScore<T>>(p.score)) elements = queries * static_cast<double>(p.d_key);
  if (const auto* additive = std::get_if<AdditiveScore<T>>(&p.score)) {
    elements = static_cast<double>(additive->h) * (queries + keys);
  }
  return PrepareBytes(p) + elements * static_cast<double>(sizeof(T));
}

template class PrepareBackward<float>;
template class PrepareBackward<double>;

}  // namespace attend::compute
