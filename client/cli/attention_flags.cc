#include "client/cli/attention_flags.h"

#include "client/cli/number_list.h"

namespace attend::cli {

void AttentionFlags::Declare(CLI::App& app) {
  heads_.Declare(app, "Input: ready-made heads");
  const std::string tokens = "Input: tokens and weights";
  tokens_.Declare(app, tokens);
  app.add_option("--num-heads", num_heads_, "Default 1")->type_name("COUNT")->group(tokens);
  app.add_option("--num-kv-heads", num_kv_heads_, "Default: as many as --num-heads")->type_name("COUNT")->group(tokens);
  input_type_.Declare(app, "Types");
  AddChoice(app, "--output-dtype", output_dtype_, {"float32", "float64", "bfloat16", "float16"}, "Default: the input's")
      ->group("Types");
  DeclareScore(app);
  DeclareMask(app);
  DeclarePosition(app);
  DeclareNormalization(app);
  grad_output_.Declare(app, "Gradients");
}

void AttentionFlags::DeclareScore(CLI::App& app) {
  const std::string group = "Score";
  AddChoice(app, "--score", score_, {"scaled_dot", "dot", "additive", "bilinear"}, "How a query matches a key")
      ->capture_default_str()
      ->group(group);
  app.add_option("--scale", scale_, "Default: 1/sqrt(d), bilinear 1")->type_name("NUMBER")->group(group);
  additive_.Declare(app, group);
  bilinear_.Declare(app, group);
}

void AttentionFlags::DeclareMask(CLI::App& app) {
  const std::string group = "Mask";
  AddChoice(app, "--causal", causal_, {"bottom_right", "top_left"}, "A query sees no later key")->group(group);
  mask_.Declare(app, group);
  bias_.Declare(app, group);
  app.add_option("--key-lengths", key_lengths_, "Per batch: later keys are padding; 3,5 or an integer .npy file")
      ->type_name("LIST|FILE")
      ->group(group);
  app.add_option("--window-left", window_left_, "Keys before its own position a query sees")
      ->type_name("COUNT")
      ->group(group);
  app.add_option("--window-right", window_right_, "Keys after it")->type_name("COUNT")->group(group);
  AddNumbers(app, "--alibi-slopes", alibi_slopes_, "One per head: subtracts slope |i - j|")->group(group);
}

void AttentionFlags::DeclarePosition(CLI::App& app) {
  const std::string group = "Positions";
  AddChoice(app, "--position", position_, {"sinusoidal", "rotary"}, "Default: none")->group(group);
  app.add_option("--position-base", position_base_, "Default 10000")->type_name("NUMBER")->group(group);
  AddChoice(app, "--rotary-layout", rotary_layout_, {"half", "interleaved"}, "Default: half")->group(group);
}

void AttentionFlags::DeclareNormalization(CLI::App& app) {
  const std::string group = "Normalization";
  AddChoice(app, "--normalization", normalization_, {"softmax", "generator_exp"}, "Scores to weights")
      ->capture_default_str()
      ->group(group);
  AddChoice(app, "--rate", rate_, {"softplus", "exp", "relu"}, "Scores to rates, generator_exp; default: softplus")
      ->group(group);
  app.add_option("--time", time_, "t in exp(tG), generator_exp; default 1")->type_name("NUMBER")->group(group);
  app.add_option("--softcap", softcap_, "Bound on the scores, softmax")->type_name("NUMBER")->group(group);
}

}  // namespace attend::cli
