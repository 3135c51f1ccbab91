// Matrices to exponentiate, always the same.
#ifndef ATTEND_TESTS_BENCH_EXPM_MATRICES_H_
#define ATTEND_TESTS_BENCH_EXPM_MATRICES_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace attend::bench {

// Normal entries of deviation 1 / sqrt(n): a norm of about sqrt(n).
template <typename T>
std::vector<T> NormalMatrices(int64_t batch, int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal(0, 1 / std::sqrt(static_cast<double>(n)));
  std::vector<T> a(static_cast<size_t>(batch * n * n));
  for (T& x : a) x = static_cast<T>(normal(random));
  return a;
}

// All rates positive, their sums about 1.
template <typename T>
std::vector<T> RandomGenerator(int64_t n) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform(0, 2.0 / static_cast<double>(n));
  std::vector<T> g(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      g[static_cast<size_t>(i * n + j)] = static_cast<T>(uniform(random));
      sum += static_cast<double>(g[static_cast<size_t>(i * n + j)]);
    }
    g[static_cast<size_t>(i * n + i)] = static_cast<T>(-sum);
  }
  return g;
}

}  // namespace attend::bench

#endif  // ATTEND_TESTS_BENCH_EXPM_MATRICES_H_
