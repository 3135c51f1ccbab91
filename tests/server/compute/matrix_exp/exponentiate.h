// Calls MatrixExp and compares what comes back, for the tests of this folder.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_EXPONENTIATE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_EXPONENTIATE_H_

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/runtime/cancellation.h"
#include "tests/server/compute/matrix_exp/oracle.h"

namespace attend::compute {

template <typename T>
struct Outcome {
  absl::Status status;
  std::vector<T> result;  // [times, batch, n, n]
  std::vector<MatrixExpReport> reports;
};

template <typename T>
Outcome<T> ExponentiateOn(runtime::Executor& executor, int64_t n, const std::vector<T>& a,
                          std::vector<double> times = {1.0}, std::optional<MatrixStructure> structure = std::nullopt) {
  runtime::BufferPool pool;
  MatrixExpProblem<T> problem;
  problem.n = n;
  problem.batch = n == 0 ? 1 : static_cast<int64_t>(a.size()) / (n * n);
  problem.a = a.data();
  problem.times = std::move(times);
  problem.structure = structure;
  Outcome<T> outcome;
  outcome.result.assign(problem.times.size() * a.size(), T{-7});
  MatrixExpResult<T> result;
  result.result = outcome.result.data();
  outcome.status = MatrixExp(executor, pool, problem, result);
  outcome.reports = result.reports;
  return outcome;
}

template <typename T>
Outcome<T> Exponentiate(int64_t n, const std::vector<T>& a, std::vector<double> times = {1.0},
                        std::optional<MatrixStructure> structure = std::nullopt) {
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  return ExponentiateOn(executor, n, a, std::move(times), structure);
}

// time * a.
template <typename T>
QuadMatrix ToQuad(const T* a, int64_t n, double time) {
  QuadMatrix result(a, a + n * n);
  for (Quad& x : result) x *= time;
  return result;
}

template <typename E>
double NormOne(int64_t n, const E& a) {
  double largest = 0;
  for (int64_t j = 0; j < n; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += std::fabs(static_cast<double>(a[i * n + j]));
    largest = std::max(largest, sum);
  }
  return largest;
}

// |actual - expected| / |expected| in the 1-norm.
template <typename T, typename E>
double RelativeError(int64_t n, const T* actual, const E& expected) {
  QuadMatrix difference(static_cast<size_t>(n * n));
  for (int64_t k = 0; k < n * n; ++k) difference[k] = static_cast<Quad>(actual[k]) - expected[k];
  return NormOne(n, difference) / NormOne(n, expected);
}

// Normal entries with deviation scale / sqrt(n): the spectral radius is about `scale`.
template <typename T>
std::vector<T> Normal(int64_t n, double scale, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale / std::sqrt(static_cast<double>(n)));
  std::vector<T> a(n * n);
  for (T& x : a) x = static_cast<T>(normal(random));
  return a;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_MATRIX_EXP_EXPONENTIATE_H_
