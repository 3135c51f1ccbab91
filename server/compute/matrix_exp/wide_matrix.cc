#include "server/compute/matrix_exp/wide_matrix.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/functional/function_ref.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr int64_t kTileRows = 32;

// row(i) for every row, in tiles.
absl::Status ForEachRow(runtime::Executor& executor, int64_t n, double flops_per_entry,
                        absl::FunctionRef<void(int64_t)> row) {
  const int64_t tiles = (n + kTileRows - 1) / kTileRows;
  const double tile_flops = flops_per_entry * static_cast<double>(n) * static_cast<double>(kTileRows);
  return executor.ForEachTile(tiles, tile_flops, [&](int64_t tile, int worker) {
    const int64_t end = std::min(n, (tile + 1) * kTileRows);
    for (int64_t i = tile * kTileRows; i < end; ++i) row(i);
    return absl::OkStatus();
  });
}

void AddScaledRow(int64_t n, double coefficient, const double* from, double* to) {
  for (int64_t j = 0; j < n; ++j) to[j] += coefficient * from[j];
}

void AddScaledRow(int64_t n, DoubleDouble coefficient, const double* from_hi, const double* from_lo, double* to_hi,
                  double* to_lo) {
  for (int64_t j = 0; j < n; ++j) {
    if (from_hi[j] == 0) continue;
    const DoubleDouble sum = DoubleDouble{to_hi[j], to_lo[j]} + coefficient * DoubleDouble{from_hi[j], from_lo[j]};
    to_hi[j] = sum.hi;
    to_lo[j] = sum.lo;
  }
}

void NormalizeRow(int64_t n, double* row) {
  // Several partial sums, so that additions need not wait for each other.
  constexpr int64_t kLanes = 8;
  double sums[kLanes] = {};
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[lane] += row[j + lane];
  }
  for (; j < n; ++j) sums[0] += row[j];
  const double inverse = 1 / std::accumulate(sums, sums + kLanes, 0.0);
  for (j = 0; j < n; ++j) row[j] *= inverse;
}

void NormalizeRow(int64_t n, double* hi, double* lo) {
  DoubleDouble sum;
  for (int64_t j = 0; j < n; ++j) sum = sum + DoubleDouble{hi[j], lo[j]};
  const DoubleDouble inverse = DoubleDouble{1, 0} / sum;
  for (int64_t j = 0; j < n; ++j) {
    if (hi[j] == 0) continue;
    const DoubleDouble entry = DoubleDouble{hi[j], lo[j]} * inverse;
    hi[j] = entry.hi;
    lo[j] = entry.lo;
  }
}

}  // namespace

absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const WideMatrix& a, const WideMatrix& b,
                      const WideMatrix& c) {
  const int64_t n = a.n();
  return ParallelGemm(executor, 1.0, Operand<double>(a.hi(), n, n, n), Operand<double>(b.hi(), n, n, n), 0.0,
                      Matrix<double>(c.hi(), n, n));
}

absl::Status Multiply(runtime::Executor& executor, runtime::BufferPool& pool, const WideMatrix& a, const WideMatrix& b,
                      const WideMatrix& c, PairAccuracy& accuracy) {
  if (a.precision() == Precision::kDouble) return Multiply(executor, pool, a, b, c);
  return SlicedGemm(executor, pool, a.n(), {a.hi(), a.lo()}, {b.hi(), b.lo()}, {c.hi(), c.lo()}, accuracy);
}

absl::Status AddPolynomial(runtime::Executor& executor, const std::vector<DoubleDouble>& coefficients,
                           const std::vector<WideMatrix>& powers, const WideMatrix& c) {
  const int64_t n = c.n();
  const double flops = 20.0 * static_cast<double>(coefficients.size());
  return ForEachRow(executor, n, flops, [&](int64_t i) {
    const int64_t row = i * n;
    for (size_t k = 1; k < coefficients.size(); ++k) {
      const WideMatrix& power = powers[k - 1];
      if (c.precision() == Precision::kDoubleDouble) {
        AddScaledRow(n, coefficients[k], power.hi() + row, power.lo() + row, c.hi() + row, c.lo() + row);
      } else {
        AddScaledRow(n, coefficients[k].hi, power.hi() + row, c.hi() + row);
      }
    }
    if (c.precision() == Precision::kDoubleDouble) {
      const DoubleDouble diagonal = DoubleDouble{c.hi()[row + i], c.lo()[row + i]} + coefficients[0];
      c.hi()[row + i] = diagonal.hi;
      c.lo()[row + i] = diagonal.lo;
    } else {
      c.hi()[row + i] += coefficients[0].hi;
    }
  });
}

absl::Status NormalizeRows(runtime::Executor& executor, const WideMatrix& a) {
  const int64_t n = a.n();
  return ForEachRow(executor, n, 40, [&](int64_t i) {
    if (a.precision() == Precision::kDoubleDouble) {
      NormalizeRow(n, a.hi() + i * n, a.lo() + i * n);
    } else {
      NormalizeRow(n, a.hi() + i * n);
    }
  });
}

bool Agree(const WideMatrix& a, const WideMatrix& b, double tolerance) {
  const bool pairs = a.precision() == Precision::kDoubleDouble;
  for (int64_t k = 0; k < a.n() * a.n(); ++k) {
    const double difference = (b.hi()[k] - a.hi()[k]) + (pairs ? b.lo()[k] - a.lo()[k] : 0.0);
    if (std::fabs(difference) > tolerance * a.hi()[k]) return false;
  }
  return true;
}

}  // namespace attend::compute
