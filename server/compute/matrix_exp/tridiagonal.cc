#include "server/compute/matrix_exp/tridiagonal.h"

#include <algorithm>

#include "server/compute/gemm.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

constexpr int64_t kWidestPanel = 32;
constexpr int64_t kUnblocked = 64;
constexpr int64_t kUpdateRows = 256;
constexpr int64_t kAppliedColumns = 32;

// A panel reads the rest once for each of its columns: narrower where that takes long.
int64_t PanelColumns(int64_t rows) {
  if (rows > 3072) return kWidestPanel / 4;
  return rows > 1536 ? kWidestPanel / 2 : kWidestPanel;
}

// rows [begin, end) of m^T, row by row: m's own memory.
Operand<double> Columns(const ColumnMajor& m, int64_t begin, int64_t end) {
  return Operand<double>(m.data + begin, m.cols, end - begin, m.ld);
}

// rest = rest - v w^T - w v^T below the diagonal; what stands above it does not count.
absl::Status UpdateRest(runtime::Executor& executor, const ColumnMajor& v, const ColumnMajor& w,
                        const ColumnMajor& rest) {
  const int64_t n = rest.rows;
  const double flops = 4.0 * static_cast<double>(std::min(n, kUpdateRows) * n * v.cols);
  return executor.ForEachTile((n + kUpdateRows - 1) / kUpdateRows, flops, [&](int64_t tile, int) {
    const int64_t begin = tile * kUpdateRows;
    const int64_t end = std::min(n, begin + kUpdateRows);
    // Read row by row the columns [begin, end) are rows, and what is below the diagonal right of it.
    const Matrix<double> block(rest.at(begin, begin), end - begin, n - begin, rest.ld);
    auto done = Gemm(-1.0, Transposed(Columns(v, begin, end)), Columns(w, begin, n), 1.0, block);
    if (!done.ok()) return done;
    return Gemm(-1.0, Transposed(Columns(w, begin, end)), Columns(v, begin, n), 1.0, block);
  });
}

}  // namespace

absl::Status ReduceToTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                 const lapack::Tridiagonal& to) {
  const runtime::Buffer w = pool.AllocateArray<double>(static_cast<size_t>(a.rows * kWidestPanel));
  const auto from = [&](int64_t begin) {
    return lapack::Tridiagonal{to.diagonal + begin, to.subdiagonal + begin, to.factors + begin};
  };
  int64_t begin = 0;
  while (a.rows - begin > kUnblocked) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    const int64_t rows = a.rows - begin;
    const int64_t panel = PanelColumns(rows);
    const ColumnMajor rest = a.Block(begin, begin, rows, rows);
    lapack::ReduceSymmetricPanel(rest, panel, from(begin), w.as<double>());
    const ColumnMajor w_rest{w.as<double>() + panel, rows - panel, panel, rows};
    auto done = UpdateRest(executor, rest.Block(panel, 0, rows - panel, panel), w_rest,
                           rest.Block(panel, panel, rows - panel, rows - panel));
    if (!done.ok()) return done;
    for (int64_t j = 0; j < panel; ++j) {
      *rest.at(j + 1, j) = from(begin).subdiagonal[j];
      from(begin).diagonal[j] = *rest.at(j, j);
    }
    begin += panel;
  }
  lapack::ReduceSymmetric(a.Block(begin, begin, a.rows - begin, a.rows - begin), from(begin));
  return executor.cancellation().Check();
}

absl::Status ApplyTridiagonalReflectors(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                        const double* factors, const ColumnMajor& c) {
  if (a.rows < 2) return absl::OkStatus();
  const ColumnMajor reflectors = a.Block(1, 0, a.rows - 1, a.cols - 1);
  const int64_t work = lapack::ApplyWork(kAppliedColumns);
  const runtime::Buffer scratch = pool.AllocateArray<double>(static_cast<size_t>(executor.max_workers() * work));
  const double flops = 2.0 * static_cast<double>(a.rows * a.rows * kAppliedColumns);
  const int64_t tiles = (c.cols + kAppliedColumns - 1) / kAppliedColumns;
  return executor.ForEachTile(tiles, flops, [&](int64_t tile, int worker) {
    const int64_t begin = tile * kAppliedColumns;
    const int64_t cols = std::min(kAppliedColumns, c.cols - begin);
    lapack::ApplyLeftReflectors(reflectors, factors, c.Block(1, begin, c.rows - 1, cols),
                                scratch.as<double>() + worker * work);
    return absl::OkStatus();
  });
}

double TridiagonalBytes(int64_t n) {
  return 8 * static_cast<double>(std::max(n * kWidestPanel, lapack::ApplyWork(kAppliedColumns)));
}

}  // namespace attend::compute
