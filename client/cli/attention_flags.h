// The flags of `attend attention` and the request they make. Not thread-safe.
#ifndef ATTEND_CLIENT_CLI_ATTENTION_FLAGS_H_
#define ATTEND_CLIENT_CLI_ATTENTION_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attend/v1/attend.pb.h"
#include "client/cli/array_files.h"
#include "client/cli/tensor_flags.h"

namespace attend::cli {

class AttentionFlags {
 public:
  void Declare(CLI::App& app);

  // Reads the files and puts the request together. INVALID_ARGUMENT where flags contradict each other or a file cannot
  // be read. What the numbers mean is the server's to check.
  absl::StatusOr<v1::AttentionRequest> MakeRequest(ArrayFiles& files) const;

  bool asks_for_gradients() const { return grad_output_.any(); }
  // The inputs whose gradients then come back, by the contract's names.
  std::vector<std::string> GradientNames() const;

 private:
  void DeclareScore(CLI::App& app);
  void DeclareMask(CLI::App& app);
  void DeclarePosition(CLI::App& app);
  void DeclareNormalization(CLI::App& app);

  // Flags that only mean something beside another one.
  absl::Status CheckCompany() const;

  absl::Status SetInput(ArrayFiles& files, v1::AttentionRequest& request) const;
  absl::Status SetScore(ArrayFiles& files, v1::Score& score) const;
  absl::Status SetMask(ArrayFiles& files, v1::AttentionRequest& request) const;
  absl::Status SetKeyLengths(ArrayFiles& files, v1::Mask& mask) const;
  void SetPosition(v1::AttentionRequest& request) const;
  void SetNormalization(v1::AttentionRequest& request) const;

  TensorFlags<v1::Heads> heads_{{"--query", "[batch, heads, n, d]", &v1::Heads::mutable_query},
                                {"--key", "[batch, kv_heads, m, d]", &v1::Heads::mutable_key},
                                {"--value", "[batch, kv_heads, m, d_value]", &v1::Heads::mutable_value}};
  TensorFlags<v1::Tokens> tokens_{{"--x", "[batch, n, d_model]", &v1::Tokens::mutable_x},
                                  {"--context", "[batch, m, d_context]; without it, x", &v1::Tokens::mutable_context},
                                  {"--w-q", "[d_model, heads d]", &v1::Tokens::mutable_w_q},
                                  {"--w-k", "[d_context, kv_heads d]", &v1::Tokens::mutable_w_k},
                                  {"--w-v", "[d_context, kv_heads d_value]", &v1::Tokens::mutable_w_v},
                                  {"--w-o", "[heads d_value, d_out]", &v1::Tokens::mutable_w_o},
                                  {"--b-q", "[heads d]", &v1::Tokens::mutable_b_q},
                                  {"--b-k", "[kv_heads d]", &v1::Tokens::mutable_b_k},
                                  {"--b-v", "[kv_heads d_value]", &v1::Tokens::mutable_b_v},
                                  {"--b-o", "[d_out]", &v1::Tokens::mutable_b_o}};
  std::optional<uint32_t> num_heads_;
  std::optional<uint32_t> num_kv_heads_;
  InputTypeFlag input_type_;

  std::string score_ = "scaled_dot";
  std::optional<double> scale_;
  TensorFlags<v1::Additive> additive_{{"--w-query", "[h, d], additive", &v1::Additive::mutable_w_query},
                                      {"--w-key", "[h, d_key], additive", &v1::Additive::mutable_w_key},
                                      {"--w-score", "[h], additive", &v1::Additive::mutable_w_score}};
  TensorFlags<v1::Bilinear> bilinear_{{"--w-bilinear", "[d, d_key], bilinear", &v1::Bilinear::mutable_w}};

  std::string causal_;
  std::optional<uint32_t> window_left_;
  std::optional<uint32_t> window_right_;
  TensorFlags<v1::Mask> mask_{
      {"--allowed", "Booleans, broadcastable to [batch, heads, n, m]", &v1::Mask::mutable_allowed}};
  TensorFlags<v1::Mask> bias_{{"--bias", "Added to the scores, broadcastable likewise", &v1::Mask::mutable_bias}};
  std::string key_lengths_;
  std::vector<double> alibi_slopes_;

  std::string position_;
  std::optional<double> position_base_;
  std::string rotary_layout_;

  std::string normalization_ = "softmax";
  std::optional<double> softcap_;
  std::string rate_;
  std::optional<double> time_;

  TensorFlags<v1::AttentionRequest> grad_output_{
      {"--grad-output", "Of the output's shape: asks for gradients of sum(output grad_output)",
       &v1::AttentionRequest::mutable_grad_output}};

  std::string output_dtype_;
};

}  // namespace attend::cli

#endif  // ATTEND_CLIENT_CLI_ATTENTION_FLAGS_H_
