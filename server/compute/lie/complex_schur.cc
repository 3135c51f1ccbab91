#include "server/compute/lie/complex_schur.h"

#include <cmath>

namespace attend::compute {
namespace {

using Complex = std::complex<double>;

// One eigenvalue of [a, b; c, d], less d.
Complex ShiftedEigenvalue(const Complex& a, const Complex& b, const Complex& c, const Complex& d) {
  const Complex half = (a - d) / 2.0;
  return half + std::sqrt(half * half + b * c);
}

}  // namespace

void TriangularizeBlocks(int64_t n, std::complex<double>* t, std::complex<double>* q) {
  const auto at = [n](int64_t i, int64_t j) { return i + j * n; };
  for (int64_t m = n - 1; m > 0; --m) {
    const int64_t l = m - 1;
    const Complex below = t[at(m, l)];
    if (below == 0.0) continue;
    const Complex mu = ShiftedEigenvalue(t[at(l, l)], t[at(l, m)], below, t[at(m, m)]);
    const double length = std::hypot(std::abs(mu), std::abs(below));
    const Complex c = mu / length;
    const double s = below.real() / length;
    for (int64_t j = l; j < n; ++j) {
      const Complex upper = t[at(l, j)], lower = t[at(m, j)];
      t[at(l, j)] = std::conj(c) * upper + s * lower;
      t[at(m, j)] = c * lower - s * upper;
    }
    const auto turn_columns = [&](Complex* matrix, int64_t rows) {
      for (int64_t i = 0; i < rows; ++i) {
        const Complex left = matrix[at(i, l)], right = matrix[at(i, m)];
        matrix[at(i, l)] = c * left + s * right;
        matrix[at(i, m)] = std::conj(c) * right - s * left;
      }
    };
    turn_columns(t, m + 1);
    turn_columns(q, n);
    t[at(m, l)] = 0;
  }
}

}  // namespace attend::compute
