// What an attention call asks for, after decoding: shapes are facts here and are not checked again.
//
// n queries, m keys, d columns of query and key, d_value columns of value. T is float or double.
#ifndef ATTEND_SERVER_COMPUTE_ATTENTION_PROBLEM_H_
#define ATTEND_SERVER_COMPUTE_ATTENTION_PROBLEM_H_

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

namespace attend::compute {

// Matrices [rows, cols] by batch and head in somebody else's memory. Columns are adjacent; strides are in elements.
template <typename T>
struct HeadsView {
  T* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t row_stride = 0;

  T* at(int64_t batch, int64_t head, int64_t row = 0) const {
    return data + batch * batch_stride + head * head_stride + row * row_stride;
  }
};

// Contiguous [batch, heads, rows, cols].
template <typename T>
HeadsView<T> ContiguousHeads(T* data, int64_t heads, int64_t rows, int64_t cols) {
  return {data, heads * rows * cols, rows * cols, cols};
}

// A tensor broadcast to [batch, heads, n, m]: a stretched dimension has stride 0. Absent when data is null.
template <typename T>
struct BroadcastView {
  const T* data = nullptr;
  std::array<int64_t, 4> strides = {0, 0, 0, 0};  // batch, head, query, key; in elements

  const T& at(int64_t batch, int64_t head, int64_t query, int64_t key) const {
    return data[batch * strides[0] + head * strides[1] + query * strides[2] + key * strides[3]];
  }
  explicit operator bool() const { return data != nullptr; }
};

// Where query i stands on the key axis: at i + m - n, or at i.
enum class Alignment { kBottomRight, kTopLeft };

template <typename T>
struct AttentionMask {
  bool causal = false;  // key j is visible only if j <= the query's place
  Alignment alignment = Alignment::kBottomRight;
  BroadcastView<uint8_t> allowed;       // 0 hides the pair
  BroadcastView<T> bias;                // added to the scores; -infinity hides the pair; no NaN, no +infinity
  std::vector<int64_t> key_lengths;     // [batch] or empty; each in [0, m]
  std::optional<int64_t> window_left;   // key j is visible only if place - left <= j; absent: no bound
  std::optional<int64_t> window_right;  // and only if j <= place + right
  std::vector<T> alibi_slopes;          // [heads] or empty: slope * |place - j| is subtracted from the scores
};

// score = scale * (query . key)
struct DotProductScore {};
// score = w_score . tanh(w_query query + w_key key); the scale is not used.
template <typename T>
struct AdditiveScore {
  int64_t h = 0;
  const T* w_query = nullptr;  // [h, d]
  const T* w_key = nullptr;    // [h, d_key]
  const T* w_score = nullptr;  // [h]
};
// score = scale * (query^T w key)
template <typename T>
struct BilinearScore {
  const T* w = nullptr;  // [d, d_key]
};
template <typename T>
using Score = std::variant<DotProductScore, AdditiveScore<T>, BilinearScore<T>>;

struct NoPosition {};
// PE[p, 2i] = sin(p / base^(2i/c)), PE[p, 2i+1] = cos(same) for c columns, added to query and key (to x and context
// for tokens) by their own row p, from 0.
struct SinusoidalPosition {
  double base = 10000;  // finite, > 0
};
// Rotates the pairs of query and key by place * base^(-2i/d); d is even. A key's place is its row, a query's follows
// the mask's alignment (bottom right without a causal mask).
struct RotaryPosition {
  double base = 10000;       // finite, > 0
  bool interleaved = false;  // pairs (2i, 2i + 1) instead of (i, i + d/2)
};
using Position = std::variant<NoPosition, SinusoidalPosition, RotaryPosition>;

struct SoftmaxNormalization {
  double softcap = 0;  // > 0: scores become softcap * tanh(score / softcap) before bias and mask
};

enum class Rate { kExp, kSoftplus, kRelu };
// S = exp(time * G), G = R - diag(R 1), R = rate(scores) off the diagonal, 0 where masked. Needs n = m.
struct GeneratorExpNormalization {
  Rate rate = Rate::kSoftplus;
  double time = 1;  // finite, >= 0
};
using Normalization = std::variant<SoftmaxNormalization, GeneratorExpNormalization>;

template <typename T>
struct AttentionProblem {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads; head h reads kv head h / (heads / kv_heads)
  int64_t n = 0;
  int64_t m = 0;
  int64_t d = 0;
  int64_t d_key = 0;  // d, except with an additive or bilinear score
  int64_t d_value = 0;
  HeadsView<const T> query;  // [batch, heads,    n, d]
  HeadsView<const T> key;    // [batch, kv_heads, m, d_key]
  HeadsView<const T> value;  // [batch, kv_heads, m, d_value]
  double scale = 1;
  Score<T> score;
  Position position;
  AttentionMask<T> mask;
  Normalization normalization;
};

// Where the results go. Only `output` must be there; a null pointer means "not wanted". All but output are contiguous.
template <typename T>
struct AttentionResult {
  HeadsView<T> output;   // [batch, heads, n, d_value]
  T* weights = nullptr;  // [batch, heads, n, m]
  T* scores = nullptr;   // [batch, heads, n, m]  after softcap, ALiBi and bias; -infinity where masked
  T* lse = nullptr;      // [batch, heads, n]     log sum exp of the scores; -infinity for a row that sees no key
  T* entropy = nullptr;  // [batch, heads, n]     of the row of weights, nats; 0 for a row that sees no key
  // AttentionBackward is going to read output and lse: they then come from scores rounded as it rounds them.
  bool backward_follows = false;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_ATTENTION_PROBLEM_H_
