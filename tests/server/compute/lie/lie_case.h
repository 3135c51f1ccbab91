// Matrices for the tests of chains and logarithms, row-major in plain vectors, and the calls that diagnose them.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_LIE_LIE_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_LIE_LIE_CASE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "server/compute/lie/chain.h"
#include "server/compute/lie/matrix_log.h"
#include "server/compute/matrix_exp/generator.h"
#include "tests/server/compute/thread_executor.h"

namespace attend::compute {

using Numbers = std::vector<double>;

inline Numbers RandomStochastic(int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0.01, 1);
  Numbers s(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) sum += s[static_cast<size_t>(i * n + j)] = uniform(random);
    for (int64_t j = 0; j < n; ++j) s[static_cast<size_t>(i * n + j)] /= sum;
  }
  return s;
}

// Off-diagonal rates up to `rate` / n.
inline Numbers RandomGenerator(int64_t n, double rate, unsigned seed) {
  Numbers g = RandomStochastic(n, seed);
  for (int64_t i = 0; i < n; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      double& entry = g[static_cast<size_t>(i * n + j)];
      entry *= rate;
      if (j != i) sum += entry;
    }
    g[static_cast<size_t>(i * n + i)] = -sum;
  }
  return g;
}

inline Numbers ExpOfGenerator(const Numbers& g, int64_t n) {
  Numbers s(g.size());
  runtime::BufferPool pool;
  ThreadExecutor executor(1);
  MatrixExpReport report;
  EXPECT_TRUE(
      GeneratorExp(executor, pool, Matrix<const double>(g.data(), n, n), 1.0, Matrix<double>(s.data(), n, n), report)
          .ok());
  return s;
}

template <typename T>
ChainDiagnostics Diagnose(const std::vector<T>& s, int64_t n, int workers = 1) {
  runtime::BufferPool pool;
  ThreadExecutor executor(workers);
  std::vector<ChainDiagnostics> chains;
  const absl::Status done = DiagnoseChains(executor, pool, 1, n, s.data(), chains);
  EXPECT_TRUE(done.ok()) << done;
  return chains.at(0);
}

template <typename T>
struct LogAnswer {
  std::vector<T> log, nearest;
  MatrixLogReport report;
};

template <typename T>
LogAnswer<T> LogOf(const std::vector<T>& a, int64_t n, int workers = 1) {
  runtime::BufferPool pool;
  ThreadExecutor executor(workers);
  LogAnswer<T> answer;
  answer.log.resize(a.size());
  answer.nearest.resize(a.size());
  MatrixLogProblem<T> problem;
  problem.batch = 1;
  problem.n = n;
  problem.a = a.data();
  MatrixLogResult<T> result;
  result.result = answer.log.data();
  result.nearest_generator = answer.nearest.data();
  const absl::Status done = MatrixLog(executor, pool, problem, result);
  EXPECT_TRUE(done.ok()) << done;
  answer.report = result.reports.at(0);
  return answer;
}

template <typename T>
double LargestDifference(const std::vector<T>& a, const std::vector<T>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_LIE_LIE_CASE_H_
