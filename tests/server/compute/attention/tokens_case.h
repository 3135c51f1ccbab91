// Attention from tokens for tests: the projections in plain double loops, then the oracle of attention_case.h.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_TOKENS_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_TOKENS_CASE_H_

#include <cstdint>
#include <vector>

#include "server/compute/attention/tokens.h"
#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {

// An empty vector is an absent tensor; an absent context is x.
struct TokensCase {
  int64_t d_model = 0;
  int64_t d_context = 0;
  int64_t d_out = 0;
  std::vector<double> x;
  std::vector<double> context;
  std::vector<double> w_q;
  std::vector<double> w_k;
  std::vector<double> w_v;
  std::vector<double> w_o;
  std::vector<double> b_q;
  std::vector<double> b_k;
  std::vector<double> b_v;
  std::vector<double> b_o;
  AttentionCase attention;  // all but query, key and value
};

// All tensors present, weights of variance 1 / rows.
TokensCase RandomTokens(const Sizes& sizes, int64_t d_model, int64_t d_context, int64_t d_out, uint64_t seed);

Answer TokensOracle(const TokensCase& c);

// A case's inputs in T, and the problem that views them. REQUIRES: the case outlives it.
template <typename T>
class TokensInputs {
 public:
  explicit TokensInputs(const TokensCase& c);
  TokensProblem<T> problem() const;

 private:
  const TokensCase& case_;
  const std::vector<T> x_, context_, w_q_, w_k_, w_v_, w_o_, b_q_, b_k_, b_v_, b_o_, bias_;
  const ScoreParameters<T> parameters_;
};

// Working memory from `pool`, or from one of its own.
template <typename T>
absl::Status RunTokens(const TokensCase& c, runtime::Executor& executor, runtime::BufferPool& pool, Answer& answer);
template <typename T>
absl::Status RunTokens(const TokensCase& c, runtime::Executor& executor, Answer& answer) {
  runtime::BufferPool pool;
  return RunTokens<T>(c, executor, pool, answer);
}

template <typename T>
void ExpectTokensAgreement(const TokensCase& c);

// How far a run in a type of that `epsilon` may be from the oracle, from the norms of the case's matrices.
Tolerance TokensTolerance(const TokensCase& c, double epsilon);

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_TOKENS_CASE_H_
