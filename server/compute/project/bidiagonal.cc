#include "server/compute/project/bidiagonal.h"

#include <algorithm>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

constexpr int64_t kUnblocked = 96;  // smaller remainders are reduced without panels
constexpr int64_t kQrPanel = 64;
constexpr int64_t kColumnTile = 128;
constexpr double kLongColumn = 4.0 * (1 << 20);

// A column-major matrix is the transpose of a row-major one.
Operand<double> TransposeOf(const ColumnMajor& a) { return {a.data, a.cols, a.rows, a.ld}; }
Matrix<double> TransposedInPlace(const ColumnMajor& a) { return {a.data, a.cols, a.rows, a.ld}; }

// A panel reads the rest twice for each of its columns: narrower where that takes long.
int64_t PanelColumns(int64_t rows, int64_t cols) {
  constexpr int64_t kEntries = int64_t{1} << 20;
  const int64_t entries = rows * cols;
  if (entries > 8 * kEntries) return lapack::kPanel / 8;
  if (entries > 2 * kEntries) return lapack::kPanel / 4;
  return entries > kEntries / 2 ? lapack::kPanel / 2 : lapack::kPanel;
}

// rest = rest - v y^T - x u^T, of what stands right of and below the panel.
absl::Status UpdateRest(runtime::Executor& executor, const ColumnMajor& a, int64_t panel, double* x, double* y) {
  const int64_t rows = a.rows - panel, cols = a.cols - panel;
  const Matrix<double> rest = TransposedInPlace(a.Block(panel, panel, rows, cols));
  const ColumnMajor v = a.Block(panel, 0, rows, panel), u = a.Block(0, panel, panel, cols);
  const ColumnMajor x_rest{x + panel, rows, panel, a.rows}, y_rest{y + panel, cols, panel, a.cols};
  auto done = ParallelGemm(executor, -1.0, Transposed(TransposeOf(y_rest)), TransposeOf(v), 1.0, rest);
  if (!done.ok()) return done;
  return ParallelGemm(executor, -1.0, TransposeOf(u), TransposeOf(x_rest), 1.0, rest);
}

// The panel holds ones where its reflectors begin; the bidiagonal belongs there.
void PutBack(const ColumnMajor& a, int64_t panel, const lapack::Bidiagonal& to) {
  for (int64_t j = 0; j < panel; ++j) {
    *a.at(j, j) = to.diagonal[j];
    *a.at(j, j + 1) = to.superdiagonal[j];
  }
}

lapack::Bidiagonal From(const lapack::Bidiagonal& all, int64_t begin) {
  return {all.diagonal + begin, all.superdiagonal + begin, all.left_factors + begin, all.right_factors + begin};
}

// body(first column, columns, worker's scratch) for tiles of the columns of c.
template <typename Body>
absl::Status ForColumns(runtime::Executor& executor, runtime::BufferPool& pool, int64_t cols, double flops_per_column,
                        Body body) {
  // Narrower where a column takes long.
  const int64_t tile = std::min(cols, flops_per_column > kLongColumn ? kColumnTile / 4 : kColumnTile);
  const int64_t work = lapack::ApplyWork(tile);
  const runtime::Buffer scratch = pool.AllocateArray<double>(static_cast<size_t>(executor.max_workers() * work));
  return executor.ForEachTile((cols + tile - 1) / tile, flops_per_column * static_cast<double>(tile),
                              [&](int64_t index, int worker) {
                                const int64_t begin = index * tile;
                                body(begin, std::min(tile, cols - begin), scratch.as<double>() + worker * work);
                                return absl::OkStatus();
                              });
}

}  // namespace

absl::Status ReduceToBidiagonal(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                const lapack::Bidiagonal& to) {
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>((a.rows + a.cols) * lapack::kPanel));
  double* const x = work.as<double>();
  int64_t begin = 0;
  while (a.cols - begin > kUnblocked) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    const ColumnMajor rest = a.Block(begin, begin, a.rows - begin, a.cols - begin);
    const int64_t panel = PanelColumns(rest.rows, rest.cols);
    double* const y = x + rest.rows * panel;
    lapack::ReducePanel(rest, panel, From(to, begin), x, y);
    if (auto done = UpdateRest(executor, rest, panel, x, y); !done.ok()) return done;
    PutBack(rest, panel, From(to, begin));
    begin += panel;
  }
  lapack::Reduce(a.Block(begin, begin, a.rows - begin, a.cols - begin), From(to, begin), x);
  return executor.cancellation().Check();
}

absl::Status ReduceToTriangular(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                double* factors) {
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(lapack::QrWork(kQrPanel)));
  for (int64_t begin = 0; begin < a.cols; begin += kQrPanel) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    const int64_t width = std::min(kQrPanel, a.cols - begin);
    const ColumnMajor panel = a.Block(begin, begin, a.rows - begin, width);
    lapack::Qr(panel, factors + begin, work.as<double>());
    const int64_t next = begin + width;
    if (next == a.cols) break;
    const double flops = 4.0 * static_cast<double>(panel.rows * width);
    const auto done = ForColumns(executor, pool, a.cols - next, flops, [&](int64_t col, int64_t cols, double* scratch) {
      lapack::ApplyLeftReflectorsTransposed(panel, factors + begin, a.Block(begin, next + col, panel.rows, cols),
                                            scratch);
    });
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

absl::Status ApplyReflectors(runtime::Executor& executor, runtime::BufferPool& pool, Side side, const ColumnMajor& a,
                             const double* factors, const ColumnMajor& c) {
  if (c.cols == 0) return absl::OkStatus();
  const double flops = 4.0 * static_cast<double>(c.rows) * static_cast<double>(a.cols);
  return ForColumns(executor, pool, c.cols, flops, [&](int64_t col, int64_t cols, double* scratch) {
    const ColumnMajor block = c.Block(0, col, c.rows, cols);
    if (side == Side::kLeft) {
      lapack::ApplyLeftReflectors(a, factors, block, scratch);
    } else {
      lapack::ApplyRightReflectors(a, factors, block, scratch);
    }
  });
}

double ReflectorWorkspaceBytes(int64_t rows, int64_t cols, int workers) {
  const double reducing = static_cast<double>(rows + cols) * static_cast<double>(lapack::kPanel);
  const double triangular = static_cast<double>(lapack::QrWork(kQrPanel));
  const double applying = static_cast<double>(workers) * static_cast<double>(lapack::ApplyWork(kColumnTile));
  return sizeof(double) * (reducing + triangular + applying);
}

}  // namespace attend::compute
