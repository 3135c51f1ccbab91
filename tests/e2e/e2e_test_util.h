// What the end-to-end tests share: a server in this process, a channel to it, and plain HTTP.
#ifndef ATTEND_TESTS_E2E_E2E_TEST_UTIL_H_
#define ATTEND_TESTS_E2E_E2E_TEST_UTIL_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "attend/v1/attend.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "server/app/server.h"

namespace attend {

inline app::Options LoopbackOptions() {
  app::Options options;
  options.listen = "127.0.0.1:0";
  options.metrics_listen = "127.0.0.1:0";
  options.log_level = "off";
  return options;
}

// A server with a channel of generous limits.
class Loopback {
 public:
  explicit Loopback(const app::Options& options = LoopbackOptions()) : listen_(options.listen) {
    auto started = app::Server::Start(options);
    if (!started.ok()) {
      ADD_FAILURE() << started.status();
      return;
    }
    server_ = *std::move(started);
    channel_ = NewChannel();
    stub_ = v1::AttentionService::NewStub(channel_);
  }

  std::shared_ptr<grpc::Channel> NewChannel() const {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
    return grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), arguments);
  }
  std::string address() const {
    return listen_.rfind("unix:", 0) == 0 ? listen_ : "127.0.0.1:" + std::to_string(server_->port());
  }
  app::Server& server() { return *server_; }
  v1::AttentionService::Stub& stub() { return *stub_; }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }

 private:
  const std::string listen_;
  std::unique_ptr<app::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AttentionService::Stub> stub_;
};

inline v1::Tensor FloatTensor(std::vector<int64_t> shape, const std::vector<float>& values) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DATA_TYPE_FLOAT32);
  for (int64_t dimension : shape) tensor.add_shape(dimension);
  tensor.set_raw(values.data(), values.size() * sizeof(float));
  return tensor;
}

inline std::vector<float> FloatsOf(const v1::Tensor& tensor) {
  std::vector<float> values(tensor.raw().size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), tensor.raw().data(), tensor.raw().size());
  return values;
}

// query = key = value [1, heads, n, d] of small different values.
inline v1::AttentionRequest SelfAttention(int64_t heads, int64_t n, int64_t d) {
  std::vector<float> values(static_cast<size_t>(heads * n * d));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 29 + i / 7) % 23) / 23 - 0.5f;
  v1::AttentionRequest request;
  for (auto* tensor : {request.mutable_heads()->mutable_query(), request.mutable_heads()->mutable_key(),
                       request.mutable_heads()->mutable_value()}) {
    *tensor = FloatTensor({1, heads, n, d}, values);
  }
  return request;
}

// The first field violation in a refusal's details.
google::rpc::BadRequest::FieldViolation Violation(const grpc::Status& status);

// The body of a GET, and the status code.
struct HttpAnswer {
  int code = 0;
  std::string body;
};
HttpAnswer HttpGet(int port, const std::string& path);

// The value of a series in the Prometheus text, or 0 where it is not there.
double SeriesValue(const std::string& text, const std::string& series);

}  // namespace attend

#endif  // ATTEND_TESTS_E2E_E2E_TEST_UTIL_H_
