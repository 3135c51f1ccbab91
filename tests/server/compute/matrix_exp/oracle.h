// Plain quadruple-precision (113 bits) oracles for the tests of this folder. Slow: n^3 at about 40 ns.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_ORACLE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_ORACLE_H_

#include <cmath>
#include <cstdint>
#include <vector>

namespace attend::compute {

__extension__ typedef __float128 Quad;
using QuadMatrix = std::vector<Quad>;  // [n, n]

inline QuadMatrix QuadProduct(int64_t n, const QuadMatrix& a, const QuadMatrix& b) {
  QuadMatrix c(a.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t k = 0; k < n; ++k) {
      if (a[i * n + k] == 0) continue;
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
  return c;
}

// exp(a) by a Taylor series of degree 14 at norm <= 1/64 and squarings: no structure is made use of. Every squaring
// doubles the error, so that about 34 - log10(norm) digits hold; entries far from the diagonal of a sparse matrix need
// `extra_squarings` with 2^extra >= n.
inline QuadMatrix QuadExp(int64_t n, QuadMatrix a, int extra_squarings) {
  Quad norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    Quad sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += a[i * n + j] < 0 ? -a[i * n + j] : a[i * n + j];
    if (sum > norm) norm = sum;
  }
  int squarings = extra_squarings + 6;
  for (; norm > 1; norm /= 2) ++squarings;
  for (Quad& x : a) {
    for (int k = 0; k < squarings; ++k) x /= 2;
  }
  QuadMatrix sum(a.size(), 0), term(a.size(), 0);
  for (int64_t i = 0; i < n; ++i) sum[i * n + i] = term[i * n + i] = 1;
  for (int k = 1; k <= 14; ++k) {
    term = QuadProduct(n, term, a);
    for (size_t i = 0; i < a.size(); ++i) sum[i] += term[i] /= k;
  }
  for (int k = 0; k < squarings; ++k) sum = QuadProduct(n, sum, sum);
  return sum;
}

// time * g with the diagonal that makes it a generator exactly. T is float or double.
template <typename T>
QuadMatrix QuadGenerator(int64_t n, const std::vector<T>& g, double time) {
  QuadMatrix result(g.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    Quad sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      result[i * n + j] = static_cast<Quad>(g[i * n + j]) * time;
      sum += result[i * n + j];
    }
    result[i * n + i] = -sum;
  }
  return result;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_ORACLE_H_
