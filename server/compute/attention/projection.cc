#include "server/compute/attention/projection.h"

#include <algorithm>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {

template <typename T>
absl::Status ProjectRows(runtime::Executor& executor, const Matrix<const T>& x, const Matrix<const T>& w, const T* bias,
                         const Matrix<T>& out) {
  if (bias == nullptr) return ParallelGemm(executor, T{1}, x, w, T{0}, out);
  // The product adds itself to the bias: the matrix is not read a second time.
  for (int64_t i = 0; i < out.rows; ++i) std::copy_n(bias, out.cols, out.row(i));
  return ParallelGemm(executor, T{1}, x, w, T{1}, out);
}

template absl::Status ProjectRows(runtime::Executor&, const Matrix<const float>&, const Matrix<const float>&,
                                  const float*, const Matrix<float>&);
template absl::Status ProjectRows(runtime::Executor&, const Matrix<const double>&, const Matrix<const double>&,
                                  const double*, const Matrix<double>&);

}  // namespace attend::compute
