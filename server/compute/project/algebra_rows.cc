#include "server/compute/project/algebra_rows.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "server/compute/project/compensated_sum.h"
#include "server/compute/project/difference_norm.h"
#include "server/compute/project/generator_row.h"
#include "server/compute/project/magnitude.h"
#include "server/compute/project/zero_mean.h"

namespace attend::compute {
namespace {

// (a + b) / 2 where the sum may overflow and the mean does not.
template <typename T>
T Mean(T a, T b) {
  const T sum = a + b;
  return std::isfinite(sum) ? sum / 2 : a / 2 + b / 2;
}

// out = (m + sign m^T) / 2 in these rows, block by block: a column of blocks of m stays in the cache while it is read
// across its rows.
template <typename T>
void SymmetricPart(const RowStrip<T>& strip, T sign) {
  constexpr int64_t kBlock = 32;
  const int64_t n = strip.n;
  for (int64_t row = strip.begin; row < strip.end; row += kBlock) {
    const int64_t row_end = std::min(row + kBlock, strip.end);
    for (int64_t col = 0; col < n; col += kBlock) {
      const int64_t col_end = std::min(col + kBlock, n);
      for (int64_t i = row; i < row_end; ++i) {
        for (int64_t j = col; j < col_end; ++j) {
          strip.out[i * n + j] = Mean(strip.m[i * n + j], sign * strip.m[j * n + i]);
        }
      }
    }
  }
}

template <typename T>
double RowSum(const T* row, int64_t n) {
  const double scale = SafeScaleOf(row, n);
  CompensatedSum sum;
  sum.Add(row, n, scale);
  const DoubleDouble total = sum.Total();
  return std::abs(total.high + total.low) / scale;
}

}  // namespace

template <typename T>
void ProjectRows(AlgebraTarget target, const RowStrip<T>& strip, double* scratch) {
  const int64_t n = strip.n;
  if (target == AlgebraTarget::kSymmetric) return SymmetricPart(strip, T{1});
  if (target == AlgebraTarget::kSkewSymmetric) return SymmetricPart(strip, T{-1});
  for (int64_t i = strip.begin; i < strip.end; ++i) {
    const T* row = strip.m + i * n;
    T* out = strip.out + i * n;
    if (target == AlgebraTarget::kGenerator) {
      NearestGeneratorRow(row, n, i, scratch, out);
    } else if (target == AlgebraTarget::kZeroRowSum) {
      ZeroMean(row, n, out);
    } else {
      std::copy_n(row, n, out);
      out[i] = BalancingDiagonal(row, n, i);
    }
  }
}

template <typename T>
void ProjectTraceless(const T* m, int64_t n, T* out) {
  std::copy_n(m, n * n, out);
  std::vector<T> diagonal(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) diagonal[i] = m[i * (n + 1)];
  ZeroMean(diagonal.data(), n, diagonal.data());
  for (int64_t i = 0; i < n; ++i) out[i * (n + 1)] = diagonal[i];
}

template <typename T>
void MeasureRows(AlgebraTarget target, const RowStrip<T>& strip, double* distances, double* sums) {
  const bool about_sums = target == AlgebraTarget::kGenerator || target == AlgebraTarget::kZeroRowSum ||
                          target == AlgebraTarget::kZeroRowSumDiagonal;
  for (int64_t i = strip.begin; i < strip.end; ++i) {
    const T* out = strip.out + i * strip.n;
    distances[i] = DifferenceNorm(strip.m + i * strip.n, out, strip.n);
    sums[i] = about_sums ? RowSum(out, strip.n) : 0;
  }
}

template void ProjectRows(AlgebraTarget, const RowStrip<float>&, double*);
template void ProjectRows(AlgebraTarget, const RowStrip<double>&, double*);
template void ProjectTraceless(const float*, int64_t, float*);
template void ProjectTraceless(const double*, int64_t, double*);
template void MeasureRows(AlgebraTarget, const RowStrip<float>&, double*, double*);
template void MeasureRows(AlgebraTarget, const RowStrip<double>&, double*, double*);

}  // namespace attend::compute
