// The gradients of AttentionCase and TokensCase for tests, in either type, and their check against differences of
// outputs.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GRADIENT_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GRADIENT_CASE_H_

#include <array>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/runtime/executor.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/attention/tokens_case.h"

namespace attend::compute {

// By the contract's field names: "query", "bias", ...
using GradientsByName = std::map<std::string, std::vector<double>>;

// The gradients of sum(output * grad_output), forward pass included. They start as NaN. Working memory from `pool`, or
// from one of its own.
template <typename T>
absl::Status RunGradients(const AttentionCase& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          runtime::BufferPool& pool, GradientsByName& gradients);

template <typename T>
absl::Status RunGradients(const TokensCase& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          runtime::BufferPool& pool, GradientsByName& gradients);

template <typename T, typename Case>
absl::Status RunGradients(const Case& c, const std::vector<double>& grad_output, runtime::Executor& executor,
                          GradientsByName& gradients) {
  runtime::BufferPool pool;
  return RunGradients<T>(c, grad_output, executor, pool, gradients);
}

// Compares RunGradients<double> with central differences of sum(output * grad_output) along three random directions in
// each input, and float's gradients with double's, relative to their largest element.
void ExpectGradientsAreDifferences(const AttentionCase& c);
void ExpectGradientsAreDifferences(const TokensCase& c);

// Random masks and biases of a shape that stretches to [batch, heads, n, m]; some biases are -infinity.
void FillAllowed(BroadcastCase<uint8_t>& allowed, std::array<int64_t, 4> shape);
void FillBias(BroadcastCase<double>& bias, std::array<int64_t, 4> shape);

// Everything that may stand between query and key and their scores, one at a time.
std::vector<AttentionCase> EveryScore(const Sizes& sizes);

// The largest magnitude, 0 without elements.
double Largest(const std::vector<double>& values);

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_GRADIENT_CASE_H_
