// The same request gets the same bytes from every server, whatever else it is doing.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "tests/e2e/e2e_test_util.h"

namespace attend {
namespace {

v1::Tensor RandomTensor(const std::vector<int64_t>& shape, uint32_t seed) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random) / 4;
  return FloatTensor(shape, values);
}

v1::AttentionRequest HeadsRequest() {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = RandomTensor({2, 4, 260, 32}, 1);
  *request.mutable_heads()->mutable_key() = RandomTensor({2, 2, 600, 32}, 2);
  *request.mutable_heads()->mutable_value() = RandomTensor({2, 2, 600, 24}, 3);
  *request.mutable_mask()->mutable_bias() = RandomTensor({1, 1, 260, 600}, 4);
  request.mutable_mask()->set_causal(v1::CAUSAL_BOTTOM_RIGHT);
  *request.mutable_grad_output() = RandomTensor({2, 4, 260, 24}, 5);
  for (const auto output : {v1::ATTENTION_OUTPUT_WEIGHTS, v1::ATTENTION_OUTPUT_LSE, v1::ATTENTION_OUTPUT_ENTROPY}) {
    request.add_return_outputs(output);
  }
  return request;
}

v1::AttentionRequest TokensRequest() {
  v1::AttentionRequest request;
  v1::Tokens& tokens = *request.mutable_tokens();
  tokens.set_num_heads(4);
  *tokens.mutable_x() = RandomTensor({2, 300, 48}, 6);
  *tokens.mutable_w_q() = RandomTensor({48, 48}, 7);
  *tokens.mutable_w_k() = RandomTensor({48, 48}, 8);
  *tokens.mutable_w_v() = RandomTensor({48, 48}, 9);
  *tokens.mutable_w_o() = RandomTensor({48, 40}, 10);
  *request.mutable_grad_output() = RandomTensor({2, 300, 40}, 11);
  return request;
}

v1::AttentionRequest GeneratorRequest() {
  v1::AttentionRequest request;
  *request.mutable_heads()->mutable_query() = RandomTensor({1, 2, 270, 16}, 12);
  *request.mutable_heads()->mutable_key() = RandomTensor({1, 2, 270, 16}, 13);
  *request.mutable_heads()->mutable_value() = RandomTensor({1, 2, 270, 16}, 14);
  request.mutable_normalization()->mutable_generator_exp()->set_time(0.02);
  *request.mutable_grad_output() = RandomTensor({1, 2, 270, 16}, 15);
  return request;
}

// The raw bytes of every tensor in the answer, by name; empty where the call failed.
using Bytes = std::map<std::string, std::string>;

Bytes Call(Loopback& server, const v1::AttentionRequest& request) {
  grpc::ClientContext context;
  v1::AttentionResponse response;
  const grpc::Status status = server.stub().Attention(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  if (!status.ok()) return {};
  Bytes bytes = {{"output", response.output().raw()},
                 {"weights", response.weights().raw()},
                 {"lse", response.lse().raw()},
                 {"entropy", response.entropy().raw()}};
  for (const auto& [name, gradient] : response.gradients()) bytes["gradient of " + name] = gradient.raw();
  return bytes;
}

void ExpectSame(const Bytes& got, const Bytes& want, const std::string& when) {
  ASSERT_EQ(got.size(), want.size()) << when;
  for (const auto& [name, bytes] : want) EXPECT_TRUE(got.at(name) == bytes) << name << " " << when;
}

// Sends the requests in turns, from several threads, until it is destroyed.
class Load {
 public:
  Load(Loopback& server, const std::vector<v1::AttentionRequest>& requests) {
    for (size_t first = 0; first < requests.size(); ++first) {
      threads_.emplace_back([this, &server, &requests, first] {
        for (size_t i = first; !stopping_; ++i) Call(server, requests[i % requests.size()]);
      });
    }
  }
  ~Load() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> stopping_ = false;
  std::vector<std::thread> threads_;
};

TEST(Determinism, SameBytesFromEveryServerAloneAndUnderLoad) {
  const std::vector<v1::AttentionRequest> requests = {HeadsRequest(), TokensRequest(), GeneratorRequest()};
  std::vector<Bytes> first;
  for (const int threads : {1, 2, 7}) {
    app::Options options = LoopbackOptions();
    options.compute_threads = threads;
    Loopback server(options);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Bytes alone = Call(server, requests[i]);
      if (threads == 1) first.push_back(alone);
      ExpectSame(alone, first[i], "of request " + std::to_string(i) + ", " + std::to_string(threads) + " threads");
    }
    const Load load(server, requests);
    for (int turn = 0; turn < 2; ++turn) {
      for (size_t i = 0; i < requests.size(); ++i) {
        ExpectSame(Call(server, requests[i]), first[i],
                   "of request " + std::to_string(i) + ", " + std::to_string(threads) + " threads, under load");
      }
    }
  }
}

}  // namespace
}  // namespace attend
