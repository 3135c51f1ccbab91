#include "server/compute/lie/hessenberg.h"

#include <algorithm>

#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

using lapack::ActiveRange;
using lapack::ColumnMajor;

constexpr int64_t kWidestPanel = 32;
constexpr int64_t kUnblocked = 128;
constexpr int64_t kTileColumns = 64;

// A panel reads the rest once for each of its columns: narrower where that takes long.
int64_t PanelColumns(int64_t rows) {
  if (rows > 3072) return kWidestPanel / 8;
  if (rows > 1536) return kWidestPanel / 4;
  return rows > 768 ? kWidestPanel / 2 : kWidestPanel;
}

// A column-major matrix is the transpose of a row-major one.
Operand<double> TransposeOf(const ColumnMajor& a) { return {a.data, a.cols, a.rows, a.ld}; }

struct Panel {
  ColumnMajor a;      // [n, n]
  ActiveRange range;  // still to be reduced: begins with the panel
  int64_t columns = 0;
  const double* t = nullptr;  // [columns, columns]
  ColumnMajor y;              // [range.end, columns]

  int64_t next() const { return range.begin + columns; }
  ColumnMajor reflectors() const { return a.Block(range.begin + 1, range.begin, range.end - range.begin - 1, columns); }
};

// What stands right of the panel, from the right: less y V^T.
absl::Status ApplyFromRight(runtime::Executor& executor, const Panel& panel) {
  const int64_t end = panel.range.end;
  // The last reflector's one stands where the subdiagonal belongs.
  double& corner = *panel.a.at(panel.next(), panel.next() - 1);
  const double subdiagonal = corner;
  corner = 1;
  const ColumnMajor v = panel.a.Block(panel.next(), panel.range.begin, end - panel.next(), panel.columns);
  const ColumnMajor rest = panel.a.Block(0, panel.next(), end, end - panel.next());
  const auto done = ParallelGemm(executor, -1.0, Transposed(TransposeOf(v)), TransposeOf(panel.y), 1.0,
                                 Matrix<double>(rest.data, rest.cols, rest.rows, rest.ld));
  corner = subdiagonal;
  if (!done.ok()) return done;
  // The rows above of the panel's own columns but the first.
  const ColumnMajor above = panel.y.Block(0, 0, panel.range.begin + 1, panel.columns - 1);
  lapack::TimesUnitLowerTransposed(panel.reflectors(), above);
  for (int64_t j = 0; j < above.cols; ++j) {
    double* const to = panel.a.at(0, panel.range.begin + 1 + j);
    for (int64_t i = 0; i < above.rows; ++i) to[i] -= *above.at(i, j);
  }
  return absl::OkStatus();
}

absl::Status ApplyFromLeft(runtime::Executor& executor, const Panel& panel, double* scratch) {
  const ColumnMajor v = panel.reflectors();
  const int64_t cols = panel.a.cols - panel.next();
  const double flops = 4.0 * static_cast<double>(v.rows * v.cols * std::min(cols, kTileColumns));
  return executor.ForEachTile((cols + kTileColumns - 1) / kTileColumns, flops, [&](int64_t tile, int worker) {
    const int64_t begin = tile * kTileColumns;
    const ColumnMajor block =
        panel.a.Block(panel.range.begin + 1, panel.next() + begin, v.rows, std::min(kTileColumns, cols - begin));
    lapack::ApplyBlockReflectorTransposed(v, panel.t, block, scratch + worker * kTileColumns * kWidestPanel);
    return absl::OkStatus();
  });
}

int64_t PanelWork(int64_t n) { return kWidestPanel * (n + kWidestPanel); }

}  // namespace

absl::Status ReduceToHessenberg(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                const ActiveRange& range, double* factors) {
  const int64_t n = a.cols;
  const int64_t scratch = executor.max_workers() * kTileColumns * kWidestPanel;
  const runtime::Buffer work = pool.AllocateArray<double>(static_cast<size_t>(PanelWork(n) + scratch));
  double* const t = work.as<double>();
  double* const y = t + kWidestPanel * kWidestPanel;
  Panel panel{a, range, 0, t, {}};
  while (panel.range.end - panel.range.begin > kUnblocked) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    panel.columns = PanelColumns(panel.range.end - panel.range.begin);
    panel.y = {y, range.end, panel.columns, range.end};
    lapack::ReduceHessenbergPanel(a, panel.range, panel.columns, factors + panel.range.begin, t, y);
    if (auto done = ApplyFromRight(executor, panel); !done.ok()) return done;
    if (auto done = ApplyFromLeft(executor, panel, work.as<double>() + PanelWork(n)); !done.ok()) return done;
    panel.range.begin = panel.next();
  }
  lapack::ReduceHessenberg(a, panel.range, factors, y);
  return executor.cancellation().Check();
}

absl::Status FormHessenbergBasis(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                 const ActiveRange& range, const double* factors, const ColumnMajor& z) {
  for (int64_t j = 0; j < z.cols; ++j) {
    std::fill_n(z.at(0, j), z.rows, 0.0);
    *z.at(j, j) = 1;
  }
  const int64_t size = range.end - range.begin - 1;
  if (size < 1) return absl::OkStatus();
  const int64_t work = lapack::ApplyWork(kTileColumns);
  const runtime::Buffer scratch = pool.AllocateArray<double>(static_cast<size_t>(executor.max_workers() * work));
  const double flops = 2.0 * static_cast<double>(size * size * std::min(size, kTileColumns));
  return executor.ForEachTile((size + kTileColumns - 1) / kTileColumns, flops, [&](int64_t tile, int worker) {
    const int64_t begin = tile * kTileColumns;
    const int64_t end = std::min(size, begin + kTileColumns);
    // Later reflectors leave these columns of I alone.
    const ColumnMajor reflectors = a.Block(range.begin + 1, range.begin, size, end);
    lapack::ApplyLeftReflectors(reflectors, factors + range.begin,
                                z.Block(range.begin + 1, range.begin + 1 + begin, size, end - begin),
                                scratch.as<double>() + worker * work);
    return absl::OkStatus();
  });
}

double HessenbergBytes(int64_t n) {
  const int64_t reduced = PanelWork(n) + kTileColumns * kWidestPanel;
  return 8 * static_cast<double>(std::max(reduced, lapack::ApplyWork(kTileColumns)));
}

}  // namespace attend::compute
