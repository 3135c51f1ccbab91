#include "server/compute/matrix_exp/generator_rates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "server/compute/matrix_exp/row_sums.h"

namespace attend::compute {
namespace {

bool Less(DoubleDouble a, DoubleDouble b) { return a.hi < b.hi || (a.hi == b.hi && a.lo < b.lo); }

}  // namespace

template <typename T>
Rates MeasureRates(const Matrix<const T>& g, double time) {
  const int64_t n = g.rows;
  double largest = 0;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < n; ++i) {
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, i}, {i + 1, n}}) {
      const Range range = RangeOf(g.row(i) + begin, end - begin);
      largest = std::max(largest, range.largest);
      least = std::min(least, range.least);
    }
  }
  Rates rates;
  std::frexp(largest, &rates.g_exponent);
  const PowerOfTwo scale(-rates.g_exponent);
  int time_exponent = 0;
  rates.time_mantissa = std::frexp(time, &time_exponent);
  rates.exponent = rates.g_exponent + time_exponent;
  rates.least = std::isfinite(least) ? scale(least) : 0;
  rates.row.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    DoubleDouble& sum = rates.row[static_cast<size_t>(i)];
    sum = SumEntries(g.row(i), i, scale).sum + SumEntries(g.row(i) + i + 1, n - i - 1, scale).sum;
    if (Less(rates.largest, sum)) rates.largest = sum;
  }
  return rates;
}

template Rates MeasureRates(const Matrix<const float>&, double);
template Rates MeasureRates(const Matrix<const double>&, double);

}  // namespace attend::compute
