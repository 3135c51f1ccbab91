// An oracle of singular values that shares nothing with LAPACK.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_PROJECT_JACOBI_VALUES_H_
#define ATTEND_TESTS_SERVER_COMPUTE_PROJECT_JACOBI_VALUES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace attend::compute {

// Singular values of a [n, m], n >= m, largest first, by Jacobi rotations of columns in long double.
inline std::vector<double> JacobiValues(std::vector<long double> a, int64_t n, int64_t m) {
  for (int sweep = 0; sweep < 60; ++sweep) {
    long double worst = 0;
    for (int64_t p = 0; p < m; ++p) {
      for (int64_t q = p + 1; q < m; ++q) {
        long double pp = 0, qq = 0, pq = 0;
        for (int64_t i = 0; i < n; ++i) {
          pp += a[i * m + p] * a[i * m + p];
          qq += a[i * m + q] * a[i * m + q];
          pq += a[i * m + p] * a[i * m + q];
        }
        if (pq == 0) continue;
        worst = std::max(worst, std::abs(pq) / std::sqrt(pp * qq));
        const long double zeta = (qq - pp) / (2 * pq);
        const long double t = std::copysign(1 / (std::abs(zeta) + std::sqrt(1 + zeta * zeta)), zeta);
        const long double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (int64_t i = 0; i < n; ++i) {
          const long double x = a[i * m + p], y = a[i * m + q];
          a[i * m + p] = c * x - s * y;
          a[i * m + q] = s * x + c * y;
        }
      }
    }
    if (worst < 1e-17L) break;
  }
  std::vector<double> values;
  for (int64_t j = 0; j < m; ++j) {
    long double square = 0;
    for (int64_t i = 0; i < n; ++i) square += a[i * m + j] * a[i * m + j];
    values.push_back(static_cast<double>(std::sqrt(square)));
  }
  std::sort(values.rbegin(), values.rend());
  values.resize(static_cast<size_t>(std::min(n, m)));
  return values;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_PROJECT_JACOBI_VALUES_H_
