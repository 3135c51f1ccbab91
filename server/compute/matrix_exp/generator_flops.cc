#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "server/compute/matrix_exp/generator.h"
#include "server/compute/matrix_exp/generator_plan.h"

namespace attend::compute {
namespace {

double ProductsOf(double rate_time) {
  const double rate = std::max(rate_time, 0.0);
  return rate + 9.5 * std::sqrt(rate) + 20;
}

// Products of doubles that those of P with a vector take: three each, until the changes that are left do not matter
// much (uniformization.h).
template <typename T>
double Gemms(double rate_time) {
  const double products = ProductsOf(rate_time);
  if (std::is_same_v<T, float> || rate_time <= kMaxPlainRateTime) return products;
  return products + 2 * std::min(products, rate_time + 5 * std::sqrt(rate_time) + 5);
}

}  // namespace

template <typename T>
double GeneratorExpFlops(int64_t n, double rate_time) {
  // A product of pairs takes as long as this many products of doubles where slices do (sliced_gemm.h; measured).
  constexpr double kCost = std::is_same_v<T, float> ? 1 : 5;
  if (rate_time <= 0 || n <= 1) return 0;
  const SeriesPlan plan = PlanSeries(n, std::log2(std::min(rate_time, 1e300)), -std::numeric_limits<double>::infinity(),
                                     std::is_same_v<T, float> ? Precision::kDouble : Precision::kDoubleDouble);
  const auto size = static_cast<double>(n);
  return kCost * 2 * size * size * size * (plan.products() + plan.squarings);
}

template <typename T>
double GeneratorActionFlops(int64_t n, int64_t p, double rate_time) {
  const auto size = static_cast<double>(n);
  // Each product also reads P from memory, which takes as long as some columns.
  constexpr double kColumnsToRead = 4;
  return Gemms<T>(rate_time) * 2 * size * size * (static_cast<double>(p) + kColumnsToRead);
}

template double GeneratorExpFlops<float>(int64_t, double);
template double GeneratorExpFlops<double>(int64_t, double);
template double GeneratorActionFlops<float>(int64_t, int64_t, double);
template double GeneratorActionFlops<double>(int64_t, int64_t, double);

}  // namespace attend::compute
