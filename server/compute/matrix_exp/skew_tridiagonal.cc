#include "server/compute/matrix_exp/skew_tridiagonal.h"

#include <algorithm>
#include <cmath>

#include "server/compute/gemm.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

using lapack::ColumnMajor;

constexpr int64_t kPanel = 32;

// m^T, row by row: m's own memory.
Operand<double> TransposeOf(const ColumnMajor& m) { return Operand<double>(m.data, m.cols, m.rows, m.ld); }

// In four sums, none of which waits for another.
double Dot(int64_t n, const double* x, const double* y) {
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int64_t k = 0; k < 4; ++k) sums[k] += x[i + k] * y[i + k];
  }
  for (; i < n; ++i) sums[0] += x[i] * y[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// to += factor * x
void AddScaled(int64_t n, double factor, const double* x, double* to) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * x[i];
}

// What takes x [n] to (end, 0, .., 0): x becomes v with v_0 = 1. In units of the largest entry: squares may vanish.
struct Reflector {
  double end = 0;
  double factor = 0;
};

Reflector Reflect(int64_t n, double* x) {
  double unit = 0;
  for (int64_t i = 0; i < n; ++i) unit = std::max(unit, std::fabs(x[i]));
  double squares = 0;
  for (int64_t i = 1; i < n; ++i) squares += (x[i] / unit) * (x[i] / unit);
  const double first = x[0];
  x[0] = 1;
  if (!(squares > 0)) {
    std::fill(x + 1, x + n, 0.0);
    return {first, 0};
  }
  const double end = -std::copysign(std::hypot(first / unit, std::sqrt(squares)), first);
  for (int64_t i = 1; i < n; ++i) x[i] = x[i] / unit / (first / unit - end);
  return {end * unit, (end - first / unit) / end};
}

// The first columns of `rest` to tridiagonal form, all of whose columns are as they were before the panel.
class Panel {
 public:
  // v, w [rest.rows, kPanel].
  Panel(runtime::Executor& executor, const ColumnMajor& rest, double* v, double* w)
      : executor_(executor), n_(rest.rows), rest_(rest), v_{v, n_, kPanel, n_}, w_{w, n_, kPanel, n_} {}

  // Of column j < kPanel, after those before it.
  absl::Status ReduceColumn(int64_t j, double& factor) {
    double* const column = rest_.at(0, j);
    const int64_t from = j + 1;
    const int64_t length = n_ - from;
    for (int64_t k = 0; k < j; ++k) {
      AddScaled(length, *w_.at(j, k), v_.at(from, k), column + from);
      AddScaled(length, -*v_.at(j, k), w_.at(from, k), column + from);
    }
    double* const v = v_.at(0, j);
    std::fill_n(v, from, 0.0);
    std::copy_n(column + from, length, v + from);
    const Reflector reflector = Reflect(length, v + from);
    factor = reflector.factor;
    column[from] = reflector.end;
    std::copy_n(v + from + 1, length - 1, column + from + 1);
    return FormW(j, factor);
  }

  // What the panel leaves, below and right of it.
  absl::Status UpdateRest() const {
    const int64_t size = n_ - kPanel;
    const ColumnMajor to = rest_.Block(kPanel, kPanel, size, size);
    const Operand<double> vt = TransposeOf(v_.Block(kPanel, 0, size, kPanel));
    const Operand<double> wt = TransposeOf(w_.Block(kPanel, 0, size, kPanel));
    // Row by row the memory holds the transpose, to which w v^T - v w^T is added.
    const Matrix<double> transposed(to.data, size, size, to.ld);
    auto done = ParallelGemm(executor_, 1.0, Transposed(wt), vt, 1.0, transposed);
    if (!done.ok()) return done;
    return ParallelGemm(executor_, -1.0, Transposed(vt), wt, 1.0, transposed);
  }

 private:
  // w = factor M v, M being what the columns before made of the rest.
  absl::Status FormW(int64_t j, double factor) {
    const int64_t from = j + 1;
    const int64_t length = n_ - from;
    double* const w = w_.at(0, j);
    const double* const v = v_.at(from, j);
    std::fill_n(w, from, 0.0);
    // A row of M is its column with the other sign.
    const auto done = ForEachPanel(executor_, length, length, [&](int64_t begin, int64_t end) {
      lapack::TimesTransposed(-factor, rest_.Block(from, from + begin, length, end - begin), v, w + from + begin);
    });
    if (!done.ok()) return done;
    for (int64_t k = 0; k < j; ++k) {
      AddScaled(length, factor * Dot(length, w_.at(from, k), v), v_.at(from, k), w + from);
      AddScaled(length, -factor * Dot(length, v_.at(from, k), v), w_.at(from, k), w + from);
    }
    return absl::OkStatus();
  }

  runtime::Executor& executor_;
  const int64_t n_;
  const ColumnMajor rest_;
  const ColumnMajor v_;
  const ColumnMajor w_;
};

}  // namespace

absl::Status ReduceSkewToTridiagonal(runtime::Executor& executor, runtime::BufferPool& pool, const ColumnMajor& a,
                                     double* factors) {
  const int64_t n = a.rows;
  const runtime::Buffer memory = pool.AllocateArray<double>(static_cast<size_t>(2 * n * kPanel));
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    if (auto wanted = executor.cancellation().Check(); !wanted.ok()) return wanted;
    const int64_t rows = n - begin;
    Panel panel(executor, a.Block(begin, begin, rows, rows), memory.as<double>(), memory.as<double>() + n * kPanel);
    for (int64_t j = 0; j < std::min(kPanel, rows - 1); ++j) {
      if (auto done = panel.ReduceColumn(j, factors[begin + j]); !done.ok()) return done;
    }
    if (rows <= kPanel) break;
    if (auto done = panel.UpdateRest(); !done.ok()) return done;
  }
  return executor.cancellation().Check();
}

double SkewTridiagonalBytes(int64_t n) { return 8 * 2 * static_cast<double>(n * kPanel); }

}  // namespace attend::compute
