#include "server/compute/attention/bias_gradient.h"

#include <algorithm>
#include <array>

#include "server/compute/vector_math.h"

namespace attend::compute {

template <typename T>
int64_t BiasElements(const AttentionProblem<T>& problem) {
  if (!problem.mask.bias) return 0;
  const std::array<int64_t, 4> full = {problem.batch, problem.heads, problem.n, problem.m};
  int64_t elements = 1;
  for (size_t i = 0; i < 4; ++i) {
    if (problem.mask.bias.strides[i] != 0) elements *= full[i];
  }
  return elements;
}

template <typename T>
BiasGradient<T>::BiasGradient(runtime::BufferPool& pool, const AttentionProblem<T>& problem, T* gradient)
    : problem_(problem), gradient_(gradient), view_(problem.mask.bias) {
  if (gradient == nullptr) return;
  elements_ = BiasElements(problem);
  std::fill_n(gradient, elements_, T{0});
  sums_ = gradient;
  if (!IsPerHead(problem)) return;
  by_query_ = pool.AllocateArray<T>(static_cast<size_t>(elements_ * problem.n));
  sums_ = by_query_.template as<T>();
  std::fill_n(sums_, elements_ * problem.n, T{0});
  view_.strides = {view_.strides[0] * problem.n, view_.strides[1] * problem.n, 1, 0};
}

template <typename T>
void BiasGradient<T>::Add(const TilePlace& tile, const Matrix<T>& slopes) const {
  if (elements_ == 0) return;
  const auto& strides = view_.strides;
  T* first = sums_ + tile.batch * strides[0] + tile.head * strides[1] + tile.query * strides[2] + tile.key * strides[3];
  for (int64_t r = 0; r < slopes.rows; ++r) {
    const T* row = slopes.row(r);
    T* to = first + r * strides[2];
    if (strides[3] == 0) {
      *to += Sum(row, slopes.cols);
    } else {
      for (int64_t c = 0; c < slopes.cols; ++c) to[c] += row[c];  // keys are adjacent
    }
  }
}

template <typename T>
void BiasGradient<T>::Finish() const {
  if (gradient_ == nullptr || sums_ == gradient_) return;
  for (int64_t i = 0; i < elements_; ++i) gradient_[i] = Sum(sums_ + i * problem_.n, problem_.n);
}

template <typename T>
std::vector<KvHeadRange> BiasGradient<T>::HeadRanges() const {
  const int64_t heads = problem_.kv_heads;
  const int64_t all = problem_.batch * heads;
  int64_t together = all;
  if (gradient_ != nullptr && view_.strides[0] == 0 && problem_.batch > 1) together = heads;
  if (gradient_ != nullptr && view_.strides[1] == 0 && heads > 1) together = 1;
  std::vector<KvHeadRange> ranges;
  for (int64_t first = 0; first < all; first += together) ranges.push_back({first, together});
  return ranges;
}

template <typename T>
double BiasGradient<T>::Bytes(const AttentionProblem<T>& problem) {
  if (!problem.mask.bias || !IsPerHead(problem)) return 0;
  return static_cast<double>(BiasElements(problem)) * static_cast<double>(problem.n) * sizeof(T);
}

template int64_t BiasElements(const AttentionProblem<float>&);
template int64_t BiasElements(const AttentionProblem<double>&);
template class BiasGradient<float>;
template class BiasGradient<double>;

}  // namespace attend::compute
