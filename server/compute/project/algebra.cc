#include "server/compute/project/algebra.h"

#include <algorithm>
#include <cmath>

#include "server/compute/project/algebra_rows.h"
#include "server/compute/project/compensated_sum.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/finite.h"
#include "server/compute/project/magnitude.h"

namespace attend::compute {
namespace {

constexpr int64_t kTileElements = 64 * 1024;

// Tiles are runs of rows of the whole batch; kTraceless takes its matrices whole.
struct Tiling {
  int64_t tiles = 0;
  int64_t rows_each = 0;
};
template <typename T>
Tiling SplitRows(const AlgebraProblem<T>& problem) {
  const int64_t rows = problem.batch * problem.n;
  const int64_t target = std::max<int64_t>(1, kTileElements / std::max<int64_t>(1, problem.n));
  int64_t each = target;
  if (problem.target == AlgebraTarget::kTraceless) each = std::max<int64_t>(1, target / problem.n) * problem.n;
  return {(rows + each - 1) / each, each};
}

template <typename T>
struct Run {
  const AlgebraProblem<T>& problem;
  T* output;
  double* scratch;    // [n] per worker
  double* distances;  // [batch, n], and so `sums`
  double* sums;

  // Rows [begin, end) of the batch, within one matrix.
  absl::Status Rows(int64_t begin, int64_t end, int worker) const {
    const int64_t n = problem.n;
    const int64_t matrix = begin / n;
    const RowStrip<T> strip{problem.m + matrix * n * n, output + matrix * n * n, n, begin - matrix * n,
                            end - matrix * n};
    if (problem.target == AlgebraTarget::kTraceless) {
      ProjectTraceless(strip.m, n, strip.out);
    } else {
      ProjectRows(problem.target, strip, scratch + worker * n);
    }
    const Matrix<T> rows(strip.out + strip.begin * n, end - begin, n);
    if (auto finite = CheckFinite(rows, 0, begin, 0); !finite.ok()) return finite;
    MeasureRows(problem.target, strip, distances + matrix * n, sums + matrix * n);
    return absl::OkStatus();
  }

  absl::Status Tile(int64_t begin, int64_t end, int worker) const {
    while (begin < end) {
      const int64_t stop = std::min(end, (begin / problem.n + 1) * problem.n);
      if (auto done = Rows(begin, stop, worker); !done.ok()) return done;
      begin = stop;
    }
    return absl::OkStatus();
  }

  AlgebraReport Report(int64_t matrix) const {
    const int64_t n = problem.n;
    AlgebraReport report;
    report.distance = Norm(distances + matrix * n, n);
    if (problem.target == AlgebraTarget::kTraceless) {
      report.residual = Trace(output + matrix * n * n);
    } else if (n > 0) {
      report.residual = *std::max_element(sums + matrix * n, sums + (matrix + 1) * n);
    }
    return report;
  }

  double Trace(const T* matrix) const {
    double largest = 0;
    for (int64_t i = 0; i < problem.n; ++i) {
      largest = std::max(largest, static_cast<double>(std::abs(matrix[i * (problem.n + 1)])));
    }
    const double scale = SafeScale<T>(largest);
    CompensatedSum trace;
    for (int64_t i = 0; i < problem.n; ++i) trace.Add(static_cast<double>(matrix[i * (problem.n + 1)]) * scale);
    const DoubleDouble total = trace.Total();
    return std::abs(total.high + total.low) / scale;
  }
};

}  // namespace

template <typename T>
absl::Status AlgebraProjection(runtime::Executor& executor, runtime::BufferPool& pool, const AlgebraProblem<T>& problem,
                               T* output, std::vector<AlgebraReport>& reports) {
  reports.assign(static_cast<size_t>(problem.batch), {});
  if (problem.batch == 0 || problem.n == 0) return executor.cancellation().Check();
  const int64_t rows = problem.batch * problem.n;
  const runtime::Buffer scratch =
      pool.AllocateArray<double>(static_cast<size_t>(executor.max_workers() * problem.n + 2 * rows));
  double* const measured = scratch.as<double>() + executor.max_workers() * problem.n;
  const Run<T> run{problem, output, scratch.as<double>(), measured, measured + rows};
  const Tiling tiling = SplitRows(problem);
  const double tile_flops = AlgebraFlops(problem) / static_cast<double>(tiling.tiles);
  const absl::Status done = executor.ForEachTile(tiling.tiles, tile_flops, [&](int64_t index, int worker) {
    const int64_t begin = index * tiling.rows_each;
    return run.Tile(begin, std::min(rows, begin + tiling.rows_each), worker);
  });
  if (!done.ok()) return done;
  for (int64_t matrix = 0; matrix < problem.batch; ++matrix) {
    reports[static_cast<size_t>(matrix)] = run.Report(matrix);
  }
  return absl::OkStatus();
}

template <typename T>
double AlgebraFlops(const AlgebraProblem<T>& problem) {
  const double entries =
      static_cast<double>(problem.batch) * static_cast<double>(problem.n) * static_cast<double>(problem.n);
  switch (problem.target) {
    case AlgebraTarget::kGenerator:
      return 24 * entries;  // three compensated sums and the passes over ever fewer entries
    case AlgebraTarget::kZeroRowSum:
      return 20 * entries;
    case AlgebraTarget::kZeroRowSumDiagonal:
      return 12 * entries;
    default:
      return 2 * entries;
  }
}

template <typename T>
double AlgebraWorkspaceBytes(const AlgebraProblem<T>& problem, int workers) {
  const auto n = static_cast<double>(problem.n);
  return sizeof(double) * n * 2 * (static_cast<double>(workers) + static_cast<double>(problem.batch));
}

template absl::Status AlgebraProjection(runtime::Executor&, runtime::BufferPool&, const AlgebraProblem<float>&, float*,
                                        std::vector<AlgebraReport>&);
template absl::Status AlgebraProjection(runtime::Executor&, runtime::BufferPool&, const AlgebraProblem<double>&,
                                        double*, std::vector<AlgebraReport>&);
template double AlgebraFlops(const AlgebraProblem<float>&);
template double AlgebraFlops(const AlgebraProblem<double>&);
template double AlgebraWorkspaceBytes(const AlgebraProblem<float>&, int);
template double AlgebraWorkspaceBytes(const AlgebraProblem<double>&, int);

}  // namespace attend::compute
