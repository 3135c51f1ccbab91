#include "server/compute/matrix_exp/scalar_exp.h"

#include <algorithm>
#include <cmath>

namespace attend::compute {

ScaledNumber ScaledExp(long double x) {
  // Beyond this, no power of two that somebody could multiply with brings it back.
  constexpr long double kHopeless = 1e12L;
  const long double power = std::clamp(x, -kHopeless, kHopeless) * 1.442695040888963407359924681001892137L;  // log2(e)
  const long double whole = std::floor(power);
  // ln 2 in two parts, so that what is left loses nothing beside the rounding of x itself.
  constexpr long double kLn2High = 0x1.62e42fefp-1L;
  constexpr long double kLn2Low = 0x1.473de6af278ece6p-34L;
  const long double rest = (std::clamp(x, -kHopeless, kHopeless) - whole * kLn2High) - whole * kLn2Low;
  return {static_cast<double>(std::exp(rest)), static_cast<int64_t>(whole)};
}

double Exp(long double x) { return static_cast<double>(std::exp(x)); }

long double ExpDividedDifference(long double x, long double y) {
  const long double half = (x - y) / 2;
  const long double middle = y + half;
  if (std::fabs(half) < 1) {
    const long double square = half * half;
    // sinh(h) / h; eight terms leave less than 2^-64.
    long double sum = 1;
    for (int k = 8; k >= 1; --k) sum = 1 + sum * square / static_cast<long double>(2 * k * (2 * k + 1));
    return std::exp(middle) * sum;
  }
  return (std::exp(x) - std::exp(y)) / (x - y);
}

}  // namespace attend::compute
