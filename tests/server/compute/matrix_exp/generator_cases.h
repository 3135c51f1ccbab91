// Generators of several kinds, for the tests of this folder. Diagonals are whatever comes: nobody reads them.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CASES_H_
#define ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CASES_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace attend::compute {

template <typename T>
constexpr double kUnitRoundoff = std::numeric_limits<T>::epsilon() / 2;

// Rates about scale / n each, all positive.
template <typename T>
std::vector<T> DenseGenerator(int64_t n, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0, 2 * scale / static_cast<double>(n));
  std::vector<T> g(n * n);
  for (T& x : g) x = static_cast<T>(uniform(random));
  return g;
}

// Entries in [0, 1] with every magnitude from 1 down to 1e-12, most of them missing.
template <typename T>
std::vector<T> StiffSparseGenerator(int64_t n, double density, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<T> g(n * n, T{0});
  for (T& x : g) {
    const double exponent = -12 * uniform(random);
    if (uniform(random) < density) x = static_cast<T>(std::pow(10, exponent));
  }
  return g;
}

// i -> i + 1 with rate 1, the last state absorbs.
template <typename T>
std::vector<T> Chain(int64_t n) {
  std::vector<T> g(n * n, T{0});
  for (int64_t i = 0; i + 1 < n; ++i) g[i * n + i + 1] = 1;
  return g;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_GENERATOR_CASES_H_
