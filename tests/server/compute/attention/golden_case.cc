#include "tests/server/compute/attention/golden_case.h"

#include <cmath>
#include <string>

namespace attend::golden {
namespace {

using nlohmann::json;
using namespace compute;  // NOLINT: a test's cases are all of it

std::vector<double> DataOf(const json& inputs, const char* name) {
  return inputs.contains(name) ? ParseTensor(inputs[name]).data : std::vector<double>();
}

template <typename T>
void ReadBroadcast(const json& tensor, BroadcastCase<T>& to) {
  const GoldenTensor parsed = ParseTensor(tensor);
  std::copy(parsed.shape.begin(), parsed.shape.end(), to.shape.begin());
  to.data.assign(parsed.data.begin(), parsed.data.end());
}

void ReadScore(const std::string& score, const json& inputs, AttentionCase& c) {
  if (score == "ADDITIVE") {
    c.score = ScoreKind::kAdditive;
    c.h = ParseTensor(inputs["w_score"]).shape[0];
  } else if (score == "BILINEAR") {
    c.score = ScoreKind::kBilinear;
  }
  c.w_query = DataOf(inputs, "w_query");
  c.w_key = DataOf(inputs, "w_key");
  c.w_score = DataOf(inputs, "w_score");
  c.w_bilinear = DataOf(inputs, "w_bilinear");
}

void ReadPosition(const json& options, AttentionCase& c) {
  const std::string position = options.value("position", "");
  const double base = options.value("rope_base", 10000.0);
  if (position == "SINUSOIDAL") c.position = SinusoidalPosition{};
  if (position == "ROTARY_HALF") c.position = RotaryPosition{base, false};
  if (position == "ROTARY_INTERLEAVED") c.position = RotaryPosition{base, true};
}

void ReadOptions(const json& test, AttentionCase& c) {
  const json& options = test["options"];
  const std::string score = options.value("score", "SCALED_DOT_PRODUCT");
  c.scale = options.value("scale", score == "SCALED_DOT_PRODUCT" ? 1 / std::sqrt(c.d) : 1.0);
  ReadScore(score, test["inputs"], c);
  ReadPosition(options, c);
  c.causal = options.contains("causal");
  if (options.value("causal", "") == "TOP_LEFT") c.alignment = Alignment::kTopLeft;
  if (options.contains("mask")) ReadBroadcast(options["mask"], c.allowed);
  if (test["inputs"].contains("bias")) ReadBroadcast(test["inputs"]["bias"], c.bias);
  if (options.contains("window_left")) c.window_left = options["window_left"].get<int64_t>();
  if (options.contains("window_right")) c.window_right = options["window_right"].get<int64_t>();
  if (options.contains("alibi_slopes")) c.alibi_slopes = options["alibi_slopes"].get<std::vector<double>>();
  c.normalization = SoftmaxNormalization{options.value("softcap", 0.0)};
  if (options.contains("rate")) {
    const std::string rate = options["rate"];
    c.normalization = GeneratorExpNormalization{rate == "EXP"    ? Rate::kExp
                                                : rate == "RELU" ? Rate::kRelu
                                                                 : Rate::kSoftplus,
                                                options["time"].get<double>()};
  }
}

}  // namespace

AttentionCase ReadHeads(const json& test) {
  const GoldenTensor query = ParseTensor(test["inputs"]["query"]);
  const GoldenTensor key = ParseTensor(test["inputs"]["key"]);
  const GoldenTensor value = ParseTensor(test["inputs"]["value"]);
  AttentionCase c;
  c.name = test["name"];
  c.batch = query.shape[0];
  c.heads = query.shape[1];
  c.n = query.shape[2];
  c.d = query.shape[3];
  c.kv_heads = key.shape[1];
  c.m = key.shape[2];
  c.d_key = key.shape[3];
  c.d_value = value.shape[3];
  c.query = query.data;
  c.key = key.data;
  c.value = value.data;
  ReadOptions(test, c);
  return c;
}

TokensCase ReadTokens(const json& test) {
  const json& inputs = test["inputs"];
  const GoldenTensor x = ParseTensor(inputs["x"]);
  const GoldenTensor context = ParseTensor(inputs.contains("context") ? inputs["context"] : inputs["x"]);
  const int64_t heads = test["options"]["heads"].get<int64_t>();
  TokensCase c;
  c.d_model = x.shape[2];
  c.d_context = context.shape[2];
  c.x = x.data;
  c.context = DataOf(inputs, "context");
  c.w_q = DataOf(inputs, "w_q");
  c.w_k = DataOf(inputs, "w_k");
  c.w_v = DataOf(inputs, "w_v");
  c.w_o = DataOf(inputs, "w_o");
  c.b_q = DataOf(inputs, "b_q");
  c.b_k = DataOf(inputs, "b_k");
  c.b_v = DataOf(inputs, "b_v");
  c.b_o = DataOf(inputs, "b_o");
  c.d_out = ParseTensor(inputs["w_o"]).shape[1];
  AttentionCase& a = c.attention;
  a.name = test["name"];
  a.batch = x.shape[0];
  a.heads = a.kv_heads = heads;
  a.n = x.shape[1];
  a.m = context.shape[1];
  a.d = ParseTensor(inputs["w_q"]).shape[1] / heads;
  a.d_key = a.d;
  a.d_value = ParseTensor(inputs["w_v"]).shape[1] / heads;
  ReadOptions(test, a);
  return c;
}

}  // namespace attend::golden
