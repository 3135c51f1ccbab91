// The service over a real socket, from generated C++ stubs.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/e2e/e2e_test_util.h"

namespace attend {
namespace {

grpc::Status Attend(v1::AttentionService::Stub& stub, const v1::AttentionRequest& request,
                    v1::AttentionResponse* response) {
  grpc::ClientContext context;
  return stub.Attention(&context, request, response);
}

TEST(Service, AttentionMatchesTheDefinition) {
  Loopback loopback;
  const int64_t heads = 2, n = 5, d = 3;
  const auto request = SelfAttention(heads, n, d);
  v1::AttentionResponse response;
  const grpc::Status status = Attend(loopback.stub(), request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const auto x = FloatsOf(request.heads().query());
  const auto output = FloatsOf(response.output());
  ASSERT_EQ(output.size(), x.size());
  for (int64_t h = 0; h < heads; ++h) {
    const float* xh = x.data() + h * n * d;
    for (int64_t i = 0; i < n; ++i) {
      std::vector<double> expected(d, 0.0);
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        double score = 0;
        for (int64_t c = 0; c < d; ++c) score += double{xh[i * d + c]} * xh[j * d + c];
        const double weight = std::exp(score / std::sqrt(static_cast<double>(d)));
        sum += weight;
        for (int64_t c = 0; c < d; ++c) expected[c] += weight * xh[j * d + c];
      }
      // Values below 1/2 averaged in float32: a few units of 2^-24.
      for (int64_t c = 0; c < d; ++c) EXPECT_NEAR(output[(h * n + i) * d + c], expected[c] / sum, 1e-6);
    }
  }
  EXPECT_GT(response.stats().flops(), 0);
  EXPECT_GT(response.stats().compute_seconds(), 0);
  EXPECT_GE(response.stats().peak_bytes(), request.ByteSizeLong());
}

TEST(Service, RefusalsCarryTheFieldOnTheWire) {
  Loopback loopback;
  auto request = SelfAttention(2, 5, 3);
  *request.mutable_heads()->mutable_key() = FloatTensor({1, 2, 5, 2}, std::vector<float>(20));
  v1::AttentionResponse response;
  const grpc::Status status = Attend(loopback.stub(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Violation(status).field(), "heads.key");
  EXPECT_EQ(Violation(status).description(), "got 2 columns, expected 3 (d of heads.query)");
}

TEST(Service, GradientsComeBackByName) {
  Loopback loopback;
  auto request = SelfAttention(2, 5, 3);
  *request.mutable_grad_output() = FloatTensor({1, 2, 5, 3}, std::vector<float>(30, 1));
  v1::AttentionResponse response;
  ASSERT_TRUE(Attend(loopback.stub(), request, &response).ok());
  ASSERT_EQ(response.gradients().size(), 3);
  double sum = 0;
  for (const float v : FloatsOf(response.gradients().at("value"))) sum += v;
  EXPECT_NEAR(sum, 30, 1e-4);  // rows of weights sum to 1, and so 30 slopes of 1 reach the values
}

TEST(Service, EveryRpcAnswers) {
  Loopback loopback;
  {
    grpc::ClientContext context;
    v1::MatrixExpRequest request;
    *request.mutable_a() = FloatTensor({2, 2}, {0, 0, 0, 0});
    v1::MatrixExpResponse response;
    ASSERT_TRUE(loopback.stub().MatrixExp(&context, request, &response).ok());
    EXPECT_EQ(FloatsOf(response.result()), (std::vector<float>{1, 0, 0, 1}));
    EXPECT_EQ(response.reports_size(), 1);
  }
  {
    grpc::ClientContext context;
    v1::ProjectRequest request;
    *request.mutable_linear()->mutable_x() = FloatTensor({1, 2}, {3, 4});
    *request.mutable_linear()->add_w() = FloatTensor({2, 1}, {10, 100});
    v1::ProjectResponse response;
    ASSERT_TRUE(loopback.stub().Project(&context, request, &response).ok());
    EXPECT_EQ(FloatsOf(response.outputs(0)), std::vector<float>{430});
  }
  {
    grpc::ClientContext context;
    v1::GetServerInfoResponse response;
    ASSERT_TRUE(loopback.stub().GetServerInfo(&context, {}, &response).ok());
    EXPECT_FALSE(response.version().empty());
    EXPECT_FALSE(response.cpu_isa().empty());
    EXPECT_FALSE(response.onednn_version().empty());
    EXPECT_GE(response.compute_threads(), 1u);
    EXPECT_GT(response.max_message_bytes(), 0u);
    EXPECT_GT(response.memory_budget_bytes(), 0u);
    EXPECT_EQ(response.dtypes_size(), 4);
  }
}

// Not every client merges a message that comes twice.
TEST(Service, StatsComeOnce) {
  Loopback loopback;
  v1::AttentionResponse response;
  ASSERT_TRUE(Attend(loopback.stub(), SelfAttention(2, 64, 64), &response).ok());
  EXPECT_GT(response.stats().compute_seconds(), 0);
  EXPECT_GT(response.stats().encode_seconds(), 0);
  EXPECT_GT(response.stats().flops(), 0);
  grpc::GenericStub stub(loopback.channel());
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const std::string bytes = SelfAttention(2, 64, 64).SerializeAsString();
  const grpc::Slice slice(bytes);
  const auto call =
      stub.PrepareUnaryCall(&context, "/attend.v1.AttentionService/Attention", grpc::ByteBuffer(&slice, 1), &queue);
  call->StartCall();
  grpc::ByteBuffer raw;
  grpc::Status status;
  call->Finish(&raw, &status, nullptr);
  void* tag;
  bool ok;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  ASSERT_TRUE(status.ok()) << status.error_message();
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(raw.Dump(&slices).ok());
  std::string answer;
  for (const grpc::Slice& each : slices) answer.append(reinterpret_cast<const char*>(each.begin()), each.size());
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(answer.data()),
                                            static_cast<int>(answer.size()));
  int stats = 0;
  while (const uint32_t tag_and_type = in.ReadTag()) {
    stats += static_cast<int>(tag_and_type >> 3) == v1::AttentionResponse::kStatsFieldNumber;
    ASSERT_TRUE(google::protobuf::internal::WireFormatLite::SkipField(&in, tag_and_type));
  }
  EXPECT_EQ(stats, 1);
}

TEST(Service, LargeAndCompressedMessagesPass) {
  Loopback loopback;
  const auto request = SelfAttention(8, 2048, 64);  // 12 MiB there, 4 MiB back
  v1::AttentionResponse plain, compressed;
  ASSERT_TRUE(Attend(loopback.stub(), request, &plain).ok());
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ASSERT_TRUE(loopback.stub().Attention(&context, request, &compressed).ok());
  EXPECT_EQ(plain.output().raw(), compressed.output().raw());
}

TEST(Service, CompressionCanBeOff) {
  app::Options options = LoopbackOptions();
  options.compression = false;
  Loopback loopback(options);
  v1::AttentionResponse response;
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const grpc::Status refused = loopback.stub().Attention(&context, SelfAttention(1, 300, 64), &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNIMPLEMENTED) << refused.error_message();
  EXPECT_TRUE(Attend(loopback.stub(), SelfAttention(1, 300, 64), &response).ok());
}

TEST(Service, MessagesAboveTheLimitAreRefused) {
  app::Options options = LoopbackOptions();
  options.max_message_bytes = 1 << 20;
  options.assumed_message_bytes = 1 << 20;
  Loopback loopback(options);
  v1::AttentionResponse response;
  for (int i = 0; i < 20; ++i) {
    const grpc::Status refused = Attend(loopback.stub(), SelfAttention(8, 512, 64), &response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_NE(refused.error_message().find("the request needs 3145"), std::string::npos) << refused.error_message();
    EXPECT_NE(refused.error_details().find("TOO_LARGE"), std::string::npos);
  }
  const auto metrics = [&] { return HttpGet(loopback.server().metrics_port(), "/metrics").body; };
  while (SeriesValue(metrics(), "attend_inflight_calls{grpc_method=\"Attention\"}") != 0) std::this_thread::yield();
  EXPECT_EQ(SeriesValue(metrics(),
                        "grpc_server_handled_total{grpc_code=\"ResourceExhausted\",grpc_method=\"Attention\","
                        "grpc_service=\"attend.v1.AttentionService\",grpc_type=\"unary\"}"),
            20);
  // Who states the size is told with the numbers, before anything is sent.
  grpc::ClientContext stated;
  stated.AddMetadata("attend-message-bytes", "3000000");
  const grpc::Status told = loopback.stub().Attention(&stated, SelfAttention(8, 512, 64), &response);
  EXPECT_EQ(told.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(told.error_message(), "the request needs 3000000 bytes, the limit is 1048576 bytes");
  EXPECT_FALSE(told.error_details().empty());
  // A small request for a large answer: [1, 1, 1024, 1024] weights.
  auto request = SelfAttention(1, 1024, 4);
  request.add_return_outputs(v1::ATTENTION_OUTPUT_WEIGHTS);
  const grpc::Status status = Attend(loopback.stub(), request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("the response needs"), std::string::npos) << status.error_message();
  EXPECT_TRUE(Attend(loopback.stub(), SelfAttention(1, 64, 4), &response).ok()) << "the server goes on";
}

// A column [rows, 1] times `outputs` matrices [1, columns].
v1::ProjectRequest Products(int64_t rows, int64_t columns, int outputs) {
  const auto ones = [](int64_t n) { return std::vector<float>(static_cast<size_t>(n), 1.0f); };
  v1::ProjectRequest request;
  *request.mutable_linear()->mutable_x() = FloatTensor({rows, 1}, ones(rows));
  for (int i = 0; i < outputs; ++i) *request.mutable_linear()->add_w() = FloatTensor({1, columns}, ones(columns));
  return request;
}

TEST(Service, FramingCountsForTheLimitToo) {
  app::Options options = LoopbackOptions();
  options.max_message_bytes = 1 << 20;
  options.assumed_message_bytes = 1 << 20;
  Loopback loopback(options);
  const auto project = [&](const v1::ProjectRequest& request, v1::ProjectResponse& response) {
    grpc::ClientContext context;
    return loopback.stub().Project(&context, request, &response);
  };
  const auto computed = [&] {
    const std::string metrics = HttpGet(loopback.server().metrics_port(), "/metrics").body;
    return SeriesValue(metrics, "attend_compute_seconds_count{grpc_method=\"Project\"}");
  };
  v1::ProjectResponse response;
  const grpc::Status exact = project(Products(512, 512, 1), response);  // elements of 1 MiB
  EXPECT_EQ(exact.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(computed(), 0) << "refused before it was computed";
  const grpc::Status many = project(Products(8190, 1, 32), response);  // 256 bytes less, and the headers of 32 tensors
  EXPECT_EQ(many.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(many.error_message().find("the response needs"), std::string::npos) << many.error_message();
  EXPECT_NE(many.error_details().find("TOO_LARGE"), std::string::npos);
  EXPECT_EQ(computed(), 1) << "found out when it was encoded";
  ASSERT_TRUE(project(Products(8150, 1, 32), response).ok());
  EXPECT_LE(response.ByteSizeLong(), size_t{1} << 20);
}

TEST(Service, CallsBeyondTheBudgetWaitAndAreAnswered) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 24 << 20;
  options.assumed_message_bytes = 16 << 20;  // one at a time is admitted
  Loopback loopback(options);
  const auto request = SelfAttention(8, 256, 64);
  std::vector<std::thread> callers;
  std::atomic<int> answered{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&] {
      v1::AttentionResponse response;
      if (Attend(loopback.stub(), request, &response).ok()) ++answered;
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(answered, 12);
  const std::string metrics = HttpGet(loopback.server().metrics_port(), "/metrics").body;
  EXPECT_EQ(SeriesValue(metrics, "attend_waiting_calls"), 0);
}

TEST(Service, ACallThatCanNeverFitIsRefusedWithTheNumbers) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 1 << 20;
  options.assumed_message_bytes = 1 << 18;
  Loopback loopback(options);
  grpc::ClientContext context;
  context.AddMetadata("attend-message-bytes", "5000000");
  v1::AttentionResponse response;
  const grpc::Status status = loopback.stub().Attention(&context, SelfAttention(8, 512, 64), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "a request of 5000000 bytes needs 10000000 bytes, the limit is 1048576 bytes");
}

TEST(Service, ManyCallersGetTheSameBits) {
  Loopback loopback;
  const auto request = SelfAttention(4, 200, 32);
  v1::AttentionResponse alone;
  ASSERT_TRUE(Attend(loopback.stub(), request, &alone).ok());
  std::vector<std::thread> callers;
  std::atomic<int> same{0};
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        v1::AttentionResponse response;
        if (Attend(loopback.stub(), request, &response).ok() && response.output().raw() == alone.output().raw()) ++same;
      }
    });
  }
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(same, 40);
}

TEST(Service, AnExpiredCallStops) {
  Loopback loopback;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::AttentionResponse response;
  const auto begin = std::chrono::steady_clock::now();
  const grpc::Status status = loopback.stub().Attention(&context, SelfAttention(16, 8192, 64), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  // Computing it whole takes seconds on any machine; the server is free again at once.
  EXPECT_TRUE(Attend(loopback.stub(), SelfAttention(1, 8, 8), &response).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Service, ACancelledCallIsCountedAndForgotten) {
  Loopback loopback;
  grpc::ClientContext context;
  v1::AttentionResponse response;
  grpc::Status status;
  const auto request = SelfAttention(16, 8192, 64);
  std::thread caller([&] { status = loopback.stub().Attention(&context, request, &response); });
  const auto metrics = [&] { return HttpGet(loopback.server().metrics_port(), "/metrics").body; };
  const std::string in_flight = "attend_inflight_calls{grpc_method=\"Attention\"}";
  while (SeriesValue(metrics(), in_flight) == 0) std::this_thread::yield();
  context.TryCancel();
  caller.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::CANCELLED);
  while (SeriesValue(metrics(), in_flight) != 0) std::this_thread::yield();
  EXPECT_EQ(SeriesValue(metrics(),
                        "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Attention\","
                        "grpc_service=\"attend.v1.AttentionService\",grpc_type=\"unary\"}"),
            1);
}

TEST(Service, MetricsCountWhatHappened) {
  Loopback loopback;
  v1::AttentionResponse response;
  auto bad = SelfAttention(1, 4, 4);
  bad.mutable_heads()->clear_key();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Attend(loopback.stub(), SelfAttention(1, 4, 4), &response).ok());
  ASSERT_FALSE(Attend(loopback.stub(), bad, &response).ok());
  const std::string text = HttpGet(loopback.server().metrics_port(), "/metrics").body;
  const std::string labels =
      "grpc_method=\"Attention\",grpc_service=\"attend.v1.AttentionService\",grpc_type=\"unary\"}";
  EXPECT_EQ(SeriesValue(text, "grpc_server_started_total{" + labels), 4);
  EXPECT_EQ(SeriesValue(text, "grpc_server_handled_total{grpc_code=\"OK\"," + labels), 3);
  EXPECT_EQ(SeriesValue(text, "grpc_server_handled_total{grpc_code=\"InvalidArgument\"," + labels), 1);
  EXPECT_EQ(SeriesValue(text, "grpc_server_handling_seconds_count{" + labels), 4);
  EXPECT_EQ(SeriesValue(text, "attend_compute_seconds_count{grpc_method=\"Attention\"}"), 3);
  EXPECT_EQ(SeriesValue(text, "attend_flops_total{grpc_method=\"Attention\"}"), 3 * response.stats().flops());
  EXPECT_EQ(SeriesValue(text, "attend_inflight_calls{grpc_method=\"Attention\"}"), 0);
  EXPECT_GT(SeriesValue(text, "attend_buffer_pool_bytes"), 0);
  EXPECT_GT(SeriesValue(text, "process_resident_memory_bytes"), 0);
}

TEST(Service, HealthAnswersChecksAndWatches) {
  Loopback loopback;
  const auto health = grpc::health::v1::Health::NewStub(loopback.channel());
  for (const char* service : {"", "attend.v1.AttentionService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    ASSERT_TRUE(health->Check(&context, request, &response).ok()) << service;
    EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  }
  grpc::ClientContext unknown_context;
  grpc::health::v1::HealthCheckRequest unknown;
  unknown.set_service("no.such.Service");
  grpc::health::v1::HealthCheckResponse response;
  EXPECT_EQ(health->Check(&unknown_context, unknown, &response).error_code(), grpc::StatusCode::NOT_FOUND);

  grpc::ClientContext watch_context;
  const auto watch = health->Watch(&watch_context, {});
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::SERVING);
  std::thread shutdown([&] { loopback.server().Shutdown(std::chrono::seconds(20)); });
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  watch_context.TryCancel();
  shutdown.join();
}

TEST(Service, ShutdownLetsCallsInFlightFinish) {
  Loopback loopback;
  grpc::Status status;
  v1::AttentionResponse response;
  const auto request = SelfAttention(8, 4096, 64);
  std::thread caller([&] { status = Attend(loopback.stub(), request, &response); });
  const auto in_flight = [&] {
    return SeriesValue(HttpGet(loopback.server().metrics_port(), "/metrics").body,
                       "attend_inflight_calls{grpc_method=\"Attention\"}");
  };
  while (in_flight() == 0) std::this_thread::yield();
  loopback.server().Shutdown(std::chrono::seconds(60));
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST(Service, ShutdownWithoutGraceCancels) {
  Loopback loopback;
  grpc::Status status;
  v1::AttentionResponse response;
  const auto request = SelfAttention(16, 16384, 64);
  std::thread caller([&] { status = Attend(loopback.stub(), request, &response); });
  const auto in_flight = [&] {
    return SeriesValue(HttpGet(loopback.server().metrics_port(), "/metrics").body,
                       "attend_inflight_calls{grpc_method=\"Attention\"}");
  };
  while (in_flight() == 0) std::this_thread::yield();
  loopback.server().Shutdown(std::chrono::milliseconds(0));
  caller.join();
  EXPECT_FALSE(status.ok());
}

TEST(Service, ReadinessFollowsTheServer) {
  Loopback loopback;
  const int port = loopback.server().metrics_port();
  EXPECT_EQ(HttpGet(port, "/healthz").code, 200);
  EXPECT_EQ(HttpGet(port, "/readyz").code, 200);
  loopback.server().Shutdown(std::chrono::milliseconds(0));
  EXPECT_EQ(HttpGet(port, "/healthz").code, 200);
  EXPECT_EQ(HttpGet(port, "/readyz").code, 503);
}

TEST(Service, ATakenPortIsAnError) {
  Loopback first;
  app::Options options = LoopbackOptions();
  options.listen = first.address();
  const auto second = app::Server::Start(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find(first.address()), std::string::npos) << second.status();
  options = LoopbackOptions();
  options.metrics_listen = "127.0.0.1:" + std::to_string(first.server().metrics_port());
  EXPECT_EQ(app::Server::Start(options).status().code(), absl::StatusCode::kUnavailable);
}

TEST(Service, TheBannerSaysWhatRuns) {
  Loopback loopback;
  const std::string banner = loopback.server().Banner();
  EXPECT_NE(banner.find(loopback.address()), std::string::npos) << banner;
  EXPECT_NE(banner.find("oneDNN"), std::string::npos) << banner;
  EXPECT_NE(banner.find("thread"), std::string::npos) << banner;
  EXPECT_EQ(banner.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace attend
