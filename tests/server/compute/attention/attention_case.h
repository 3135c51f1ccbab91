// Attention problems for tests: made once in double from numbers that float holds too, run in either type, and answered
// by plain double loops that share nothing with the kernel.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_ATTENTION_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_ATTENTION_CASE_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/compute/attention/attention.h"

namespace attend::compute {

inline constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// A tensor that is broadcast to [batch, heads, n, m]; empty data: absent.
template <typename T>
struct BroadcastCase {
  std::array<int64_t, 4> shape = {1, 1, 1, 1};
  std::vector<T> data;

  template <typename To>
  BroadcastView<To> View(const std::vector<To>& converted) const {
    if (converted.empty()) return {};
    BroadcastView<To> view{converted.data(), {}};
    int64_t stride = 1;
    for (int i = 3; i >= 0; --i) {
      view.strides[i] = shape[i] == 1 ? 0 : stride;
      stride *= shape[i];
    }
    return view;
  }
};

enum class ScoreKind { kDotProduct, kAdditive, kBilinear };

struct AttentionCase {
  std::string name;
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t n = 1;
  int64_t m = 1;
  int64_t d = 1;
  int64_t d_key = 1;
  int64_t d_value = 1;
  std::vector<double> query;  // [batch, heads, n, d]
  std::vector<double> key;    // [batch, kv_heads, m, d_key]
  std::vector<double> value;  // [batch, kv_heads, m, d_value]
  ScoreKind score = ScoreKind::kDotProduct;
  int64_t h = 0;
  std::vector<double> w_query;     // [h, d]      additive
  std::vector<double> w_key;       // [h, d_key]  additive
  std::vector<double> w_score;     // [h]         additive
  std::vector<double> w_bilinear;  // [d, d_key]  bilinear
  double scale = 1;
  Position position;
  bool causal = false;
  Alignment alignment = Alignment::kBottomRight;
  std::optional<int64_t> window_left;
  std::optional<int64_t> window_right;
  std::vector<double> alibi_slopes;
  std::vector<int64_t> key_lengths;
  BroadcastCase<uint8_t> allowed;
  BroadcastCase<double> bias;
  Normalization normalization;
};

struct Answer {
  std::vector<double> output;
  std::vector<double> weights;
  std::vector<double> scores;
  std::vector<double> lse;
  std::vector<double> entropy;
};

struct Sizes {
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t n = 1;
  int64_t m = 1;
  int64_t d = 1;
  int64_t d_value = 1;
};

// Normally distributed query, key and value; scale 1 / sqrt(d); d_key = d.
AttentionCase RandomCase(const Sizes& sizes, uint64_t seed);
// The same case with another score, normally distributed parameters and keys of d_key columns. Bilinear: scale 1 / d.
AttentionCase WithAdditiveScore(AttentionCase c, int64_t h, int64_t d_key, uint64_t seed);
AttentionCase WithBilinearScore(AttentionCase c, int64_t d_key, uint64_t seed);
std::vector<double> RandomNormal(int64_t count, uint64_t seed);

Answer Oracle(const AttentionCase& c);
// The case without a position: its query and key have been placed.
AttentionCase Placed(AttentionCase c);
// x [sequences, rows, cols] with the sinusoidal rows of places 0 to rows - 1.
std::vector<double> WithSinusoids(std::vector<double> x, int64_t rows, int64_t cols, double base);
// The oracle's scores [n, m] of one head.
std::vector<double> ScoresOfHead(const AttentionCase& c, int64_t batch, int64_t head);

// What the tests allow between a run in T and the oracle, from the inputs' norms.
struct Tolerance {
  double score = 0;  // of q . k * scale + bias
  double output = 0;
  double weight = 0;
  double lse = 0;
  double entropy = 0;
};
Tolerance ToleranceFor(const AttentionCase& c, double epsilon);

// How far a raw score may move when every element of its query, or of its key, moves by 1 at most.
struct Sensitivity {
  double query = 0;
  double key = 0;
};
Sensitivity SensitivityOf(const AttentionCase& c);

// The parameters of a case's score in T, and the views that a problem has of them.
template <typename T>
class ScoreParameters {
 public:
  explicit ScoreParameters(const AttentionCase& c);
  Score<T> score() const;

 private:
  const ScoreKind kind_;
  const int64_t h_;
  const std::vector<T> w_query_, w_key_, w_score_, w_bilinear_;
};

// The memory that a run in T fills; it starts as NaN.
template <typename T>
struct ResultMemory {
  static constexpr T kPoison = std::numeric_limits<T>::quiet_NaN();

  ResultMemory(int64_t output_elements, int64_t rows, int64_t m)
      : output(static_cast<size_t>(output_elements), kPoison),
        weights(static_cast<size_t>(rows * m), kPoison),
        scores(weights),
        lse(static_cast<size_t>(rows), kPoison),
        entropy(lse) {}

  Answer ToAnswer() const {
    return {{output.begin(), output.end()},
            {weights.begin(), weights.end()},
            {scores.begin(), scores.end()},
            {lse.begin(), lse.end()},
            {entropy.begin(), entropy.end()}};
  }

  std::vector<T> output;
  std::vector<T> weights;
  std::vector<T> scores;
  std::vector<T> lse;
  std::vector<T> entropy;
};

// Everything of a case but query, key and value as T has it; `bias` is the case's, in T.
// REQUIRES: bias and parameters outlive the problem.
template <typename T>
AttentionProblem<T> ProblemWithoutHeads(const AttentionCase& c, const std::vector<T>& bias,
                                        const ScoreParameters<T>& parameters);

enum class Wanted { kOutputOnly, kRows, kEverything };  // kRows: output, lse and entropy

// The results of Attention in T; its working memory comes from `pool`, or from one of its own.
template <typename T>
absl::Status RunCase(const AttentionCase& c, runtime::Executor& executor, runtime::BufferPool& pool, Wanted wanted,
                     Answer& answer);
template <typename T>
absl::Status RunCase(const AttentionCase& c, runtime::Executor& executor, Wanted wanted, Answer& answer) {
  runtime::BufferPool pool;
  return RunCase<T>(c, executor, pool, wanted, answer);
}

// Every element within `tolerance`, infinities equal; the worst element is named.
testing::AssertionResult AllNear(const std::vector<double>& got, const std::vector<double>& want, double tolerance);

// Runs the case in T with all outputs and compares each with the oracle.
template <typename T>
void ExpectAgreement(const AttentionCase& c);
// The same of output, lse and entropy, without weights and scores: what kernels of few queries need not form.
template <typename T>
void ExpectRowsAgree(const AttentionCase& c);

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_ATTENTION_CASE_H_
