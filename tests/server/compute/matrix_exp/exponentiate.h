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
struct Question {
  int64_t n = 0;
  std::vector<T> a = {};  // [batch, n, n]
  std::vector<double> times = {1.0};
  std::optional<MatrixStructure> structure = {};
  int64_t p = -1;         // >= 0: the action
  std::vector<T> b = {};  // [batch, n, p], or [n, p] for all
  bool b_is_shared = false;
  std::vector<T> grad = {};  // of result's shape, or none

  int64_t batch() const { return n == 0 ? 1 : static_cast<int64_t>(a.size()) / (n * n); }
  int64_t cols() const { return p >= 0 ? p : n; }
};

template <typename T>
struct Outcome {
  absl::Status status;
  std::vector<T> result;  // [times, batch, n, cols]
  std::vector<T> grad_a;  // [batch, n, n]
  std::vector<T> grad_b;
  std::vector<MatrixExpReport> reports;
  double other_flops = 0;
};

template <typename T>
Outcome<T> Solve(runtime::Executor& executor, const Question<T>& question) {
  runtime::BufferPool pool;
  MatrixExpProblem<T> problem;
  problem.n = question.n;
  problem.batch = question.batch();
  problem.a = question.a.data();
  problem.times = question.times;
  problem.structure = question.structure;
  static const T nothing = 0;
  if (question.p >= 0) {
    problem.apply_to = question.b.empty() ? &nothing : question.b.data();
    problem.p = question.p;
    problem.apply_to_is_shared = question.b_is_shared;
  }
  if (!question.grad.empty()) problem.grad_output = question.grad.data();
  Outcome<T> outcome;
  outcome.result.assign(question.times.size() * problem.batch * question.n * question.cols(), T{-7});
  outcome.grad_a.assign(question.a.size(), T{-7});
  outcome.grad_b.assign(question.b.size(), T{-7});
  MatrixExpResult<T> result;
  result.result = outcome.result.data();
  result.grad_a = outcome.grad_a.data();
  result.grad_apply_to = outcome.grad_b.data();
  outcome.status = MatrixExp(executor, pool, problem, result);
  outcome.reports = result.reports;
  outcome.other_flops = result.other_flops;
  return outcome;
}

template <typename T>
Outcome<T> Solve(const Question<T>& question) {
  runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  return Solve(executor, question);
}

template <typename T>
Outcome<T> ExponentiateOn(runtime::Executor& executor, int64_t n, const std::vector<T>& a,
                          std::vector<double> times = {1.0}, std::optional<MatrixStructure> structure = std::nullopt) {
  return Solve(executor, Question<T>{n, a, std::move(times), structure});
}

template <typename T>
Outcome<T> Exponentiate(int64_t n, const std::vector<T>& a, std::vector<double> times = {1.0},
                        std::optional<MatrixStructure> structure = std::nullopt) {
  return Solve(Question<T>{n, a, std::move(times), structure});
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
