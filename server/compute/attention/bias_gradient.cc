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
  row_ = RowOfSums(problem);
  if (BiasElements(problem) > 0) sums_ = gradient;
  if (row_ == 0) return;
  const int64_t sums = problem.batch * problem.heads * row_;
  rows_ = pool.AllocateArray<T>(static_cast<size_t>(sums));
  sums_ = rows_.template as<T>();
  std::fill_n(sums_, sums, T{0});
  const bool by_key = problem.mask.bias.strides[3] != 0;
  view_.strides = {problem.heads * row_, row_, by_key ? 0 : 1, by_key ? 1 : 0};
}

template <typename T>
void BiasGradient<T>::Add(const TilePlace& tile, const Matrix<T>& slopes) const {
  if (sums_ == nullptr) return;
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
  if (row_ == 0) return;
  const auto& strides = problem_.mask.bias.strides;
  for (int64_t head = 0; head < problem_.batch * problem_.heads; ++head) {
    const T* row = sums_ + head * row_;
    T* to = gradient_ + head / problem_.heads * strides[0] + head % problem_.heads * strides[1];
    if (strides[2] == 0 && strides[3] == 0) {
      *to += Sum(row, row_);
    } else {
      for (int64_t i = 0; i < row_; ++i) to[i] += row[i];
    }
  }
}

template <typename T>
bool BiasGradient<T>::HeadsSharePairs() const {
  const auto& strides = problem_.mask.bias.strides;
  return sums_ != nullptr && row_ == 0 &&
         ((strides[0] == 0 && problem_.batch > 1) || (strides[1] == 0 && problem_.heads > 1));
}

template <typename T>
int64_t BiasGradient<T>::RowOfSums(const AttentionProblem<T>& problem) {
  const auto& strides = problem.mask.bias.strides;
  if (!problem.mask.bias || (strides[2] != 0 && strides[3] != 0)) return 0;
  return strides[3] != 0 ? problem.m : problem.n;
}

template <typename T>
double BiasGradient<T>::Bytes(const AttentionProblem<T>& problem) {
  return static_cast<double>(problem.batch * problem.heads) * static_cast<double>(RowOfSums(problem)) * sizeof(T);
}

template int64_t BiasElements(const AttentionProblem<float>&);
template int64_t BiasElements(const AttentionProblem<double>&);
template class BiasGradient<float>;
template class BiasGradient<double>;

}  // namespace attend::compute
