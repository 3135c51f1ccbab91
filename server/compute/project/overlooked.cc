#include "server/compute/project/overlooked.h"

#include <cmath>

namespace attend::compute {

double OverlookedSquares(const double* values, const std::vector<double>& residuals, int64_t rank, int64_t size) {
  const auto square = [values](int64_t i) { return values[i] * values[i]; };
  const auto rho = [&](int64_t i) { return values[i] * residuals[static_cast<size_t>(i)]; };
  const double eta = rank < size ? square(rank) + rho(rank) : 0;
  double sum = 0;
  for (int64_t i = 0; i < rank; ++i) {
    const double gap = square(i) - eta, twice = 2 * rho(i), root = std::hypot(gap, twice);
    if (gap > 0) {
      sum += twice / (gap + root) * rho(i);
    } else {
      sum += (root - gap) / 2;
    }
  }
  return sum;
}

}  // namespace attend::compute
