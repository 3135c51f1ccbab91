#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "attend/v1/attend.grpc.pb.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/raw_caller.h"
#include "tests/bench/timing.h"
#include "tests/process/server_process.h"

namespace attend::bench {
namespace {

template <typename T>
v1::Tensor RandomTensor(std::initializer_list<int64_t> shape, double scale) {
  v1::Tensor tensor;
  tensor.set_dtype(sizeof(T) == 4 ? v1::DATA_TYPE_FLOAT32 : v1::DATA_TYPE_FLOAT64);
  size_t count = 1;
  for (const int64_t dimension : shape) {
    tensor.add_shape(dimension);
    count *= static_cast<size_t>(dimension);
  }
  const std::vector<float> values = RandomValues(count, 3);
  std::vector<T> scaled(count);
  std::transform(values.begin(), values.end(), scaled.begin(), [&](float v) { return static_cast<T>(v * scale); });
  tensor.set_raw(scaled.data(), count * sizeof(T));
  return tensor;
}

template <typename T>
grpc::ByteBuffer Exponential(int64_t n) {
  v1::MatrixExpRequest request;
  *request.mutable_a() = RandomTensor<T>({n, n}, 0.1);
  return Serialized(request);
}

grpc::ByteBuffer WithGradients(int64_t heads, int64_t n, int64_t d) {
  v1::AttentionRequest request;
  for (auto* tensor : {request.mutable_heads()->mutable_query(), request.mutable_heads()->mutable_key(),
                       request.mutable_heads()->mutable_value(), request.mutable_grad_output()}) {
    *tensor = RandomTensor<float>({1, heads, n, d}, 1);
  }
  return Serialized(request);
}

struct Case {
  const char* name;
  const char* method;
  grpc::ByteBuffer request;
};

// From the hang-up until the server, which takes one call at a time, has answered the next one.
double WorstSecondsToStop(const ServerProcess& server, const Case& large) {
  const RawCaller caller(server.address(), large.method, true);
  const RawCaller next_caller(server.address(), "Attention", true);
  const grpc::ByteBuffer next = AttentionBytes(1, 8, 8);
  double worst = 0;
  for (int repetition = 0; repetition < 8; ++repetition) {
    grpc::ClientContext context;
    bool finished = false;
    std::thread calling([&] {
      grpc::ByteBuffer response;
      finished = caller.CallWith(context, large.request, &response).ok();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(250 + 37 * repetition));
    const double seconds = Seconds([&] {
      context.TryCancel();
      grpc::ByteBuffer response;
      if (!next_caller.Call(next, &response).ok()) std::abort();
    });
    calling.join();
    if (finished) std::fprintf(stderr, "%s was over before the hang-up\n", large.name);
    worst = std::max(worst, finished ? 0 : seconds);
  }
  return worst;
}

}  // namespace

void BenchCancel(Figures& figures) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--compute_threads", "2", "--max_calls", "1"});
  const std::vector<Case> cases = {
      {"attention.32x8192x64", "Attention", AttentionBytes(32, 8192, 64)},
      {"attention.1x65536x64", "Attention", AttentionBytes(1, 65536, 64)},
      {"attention.8x8192x512", "Attention", AttentionBytes(8, 8192, 512)},
      {"gradients.16x8192x64", "Attention", WithGradients(16, 8192, 64)},
      {"expm.f32.2048", "MatrixExp", Exponential<float>(2048)},
      {"expm.f64.2048", "MatrixExp", Exponential<double>(2048)},
      {"expm.f64.3072", "MatrixExp", Exponential<double>(3072)},
  };
  for (const Case& each : cases) {
    figures.Add(std::string("cancel.") + each.name + ".ms", WorstSecondsToStop(server, each) * 1e3, "ms");
  }
}

}  // namespace attend::bench
