#include "server/compute/project/generator_row.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "server/compute/project/compensated_sum.h"
#include "server/compute/project/magnitude.h"

namespace attend::compute {
namespace {

constexpr int kMostPasses = 12;

// (diagonal + sum) / (1 + count).
DoubleDouble Threshold(double diagonal, const double* entries, int64_t count) {
  CompensatedSum sum;
  sum.Add(entries, count);
  sum.Add(diagonal);
  return Quotient(sum.Total(), static_cast<double>(count + 1));
}

// Moves what exceeds c to the front, without branches that nobody could predict; returns how many.
int64_t KeepAbove(double c, double* entries, int64_t count) {
  int64_t kept = 0;
  for (int64_t j = 0; j < count; ++j) {
    const double entry = entries[j];
    entries[kept] = entry;
    kept += entry > c ? 1 : 0;
  }
  return kept;
}

// Of entries in any order: sorts them and takes the k largest for which the next does not exceed their threshold.
int64_t CutSorted(double diagonal, double* entries, int64_t count) {
  std::sort(entries, entries + count, std::greater<double>());
  CompensatedSum sum;
  sum.Add(diagonal);
  int64_t k = 0;
  for (; k < count; ++k) {
    if (entries[k] * static_cast<double>(k + 1) <= sum.Total().high) break;
    sum.Add(entries[k]);
  }
  return k;
}

// c of the header, from the off-diagonal entries; reorders them.
DoubleDouble Root(double diagonal, double* entries, int64_t count) {
  DoubleDouble c = Threshold(diagonal, entries, count);
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const int64_t kept = KeepAbove(c.high, entries, count);
    if (kept == count) return c;
    count = kept;
    c = Threshold(diagonal, entries, count);
  }
  count = CutSorted(diagonal, entries, count);
  return Threshold(diagonal, entries, count);
}

template <typename T>
bool IsGeneratorRow(const T* row, int64_t n, int64_t diagonal) {
  int64_t negative = 0;
  for (int64_t j = 0; j < n; ++j) negative += row[j] < 0 ? 1 : 0;
  if (row[diagonal] < 0) --negative;
  return negative == 0 && row[diagonal] == BalancingDiagonal(row, n, diagonal);
}

}  // namespace

template <typename T>
T BalancingDiagonal(const T* row, int64_t n, int64_t diagonal) {
  const double scale = SafeScaleOf(row, n);
  CompensatedSum sum;
  sum.Add(row, diagonal, scale);
  sum.Add(row + diagonal + 1, n - diagonal - 1, scale);
  const DoubleDouble total = sum.Total();
  return static_cast<T>((0 - (total.high + total.low)) / scale);  // 0 - 0 is 0, not -0
}

template <typename T>
void NearestGeneratorRow(const T* row, int64_t n, int64_t diagonal, double* scratch, T* out) {
  if (IsGeneratorRow(row, n, diagonal)) {
    std::copy_n(row, n, out);
    return;
  }
  const double scale = SafeScaleOf(row, n);
  for (int64_t j = 0; j < n; ++j) scratch[j] = static_cast<double>(row[j]) * scale;
  const double own = scratch[diagonal];
  scratch[diagonal] = scratch[n - 1];
  const DoubleDouble c = Root(own, scratch, n - 1);
  for (int64_t j = 0; j < n; ++j) {
    const double above = Difference(static_cast<double>(row[j]) * scale, c);
    out[j] = static_cast<T>((above > 0 ? above : 0) / scale);
  }
  out[diagonal] = 0;
  out[diagonal] = BalancingDiagonal(out, n, diagonal);
}

template void NearestGeneratorRow(const float*, int64_t, int64_t, double*, float*);
template void NearestGeneratorRow(const double*, int64_t, int64_t, double*, double*);
template float BalancingDiagonal(const float*, int64_t, int64_t);
template double BalancingDiagonal(const double*, int64_t, int64_t);

}  // namespace attend::compute
