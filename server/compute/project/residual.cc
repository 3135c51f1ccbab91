#include "server/compute/project/residual.h"

#include <algorithm>
#include <cmath>

#include "server/compute/gemm.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/normalized.h"

namespace attend::compute {
namespace {

constexpr int64_t kRows = 64;

}  // namespace

template <typename T>
absl::Status ResidualNorm(runtime::Executor& executor, runtime::BufferPool& pool, const T* a, int64_t n, int64_t m,
                          int exponent, const FactorsView<T>& factors, double& norm) {
  const int64_t rank = factors.rank;
  const int64_t strip = kRows * (m + rank);
  const int64_t row_step = factors.u_transposed ? 1 : rank, col_step = factors.u_transposed ? n : 1;
  const runtime::Buffer memory =
      pool.AllocateArray<double>(static_cast<size_t>(n + (m + 1) * rank + executor.max_workers() * strip));
  double* const norms = memory.as<double>();
  double* const values = norms + n;
  double* const vt = values + rank;
  double* const strips = vt + rank * m;
  Normalize(factors.values, rank, exponent, values);
  Normalize(factors.vt, rank * m, 0, vt);
  const double flops = 2.0 * kRows * static_cast<double>(m) * static_cast<double>(rank);
  const auto done = executor.ForEachTile((n + kRows - 1) / kRows, flops, [&](int64_t index, int worker) {
    const int64_t begin = index * kRows, rows = std::min(kRows, n - begin);
    const Matrix<double> rest(strips + worker * strip, rows, m), scaled(rest.data + kRows * m, rows, rank);
    Normalize(a + begin * m, rows * m, exponent, rest.data);
    for (int64_t i = 0; i < rows; ++i) {
      const T* u = factors.u + (begin + i) * row_step;
      for (int64_t k = 0; k < rank; ++k) scaled.row(i)[k] = static_cast<double>(u[k * col_step]) * values[k];
    }
    const auto ok = Gemm(-1.0, Operand<double>(scaled), Operand<double>(vt, rank, m, m), 1.0, rest);
    for (int64_t i = 0; i < rows; ++i) norms[begin + i] = Norm(rest.row(i), m);
    return ok;
  });
  if (!done.ok()) return done;
  norm = Norm(norms, n);
  return absl::OkStatus();
}

double ResidualWorkspaceBytes(int64_t n, int64_t m, int64_t rank, int workers) {
  const auto columns = static_cast<double>(m), k = static_cast<double>(rank);
  return sizeof(double) *
         (static_cast<double>(n) + (columns + 1) * k + static_cast<double>(workers) * kRows * (columns + k));
}

template absl::Status ResidualNorm(runtime::Executor&, runtime::BufferPool&, const float*, int64_t, int64_t, int,
                                   const FactorsView<float>&, double&);
template absl::Status ResidualNorm(runtime::Executor&, runtime::BufferPool&, const double*, int64_t, int64_t, int,
                                   const FactorsView<double>&, double&);

}  // namespace attend::compute
