// What callers see while the server has more to do than it has room for.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "google/rpc/status.pb.h"
#include "tests/e2e/e2e_test_util.h"
#include "tests/e2e/relay.h"

namespace attend {
namespace {

using Clock = std::chrono::steady_clock;

// A server whose gauges can be waited for.
class LoadedServer : public Loopback {
 public:
  using Loopback::Loopback;

  double Gauge(const std::string& series) {
    return SeriesValue(HttpGet(server().metrics_port(), "/metrics").body, series);
  }
  void WaitUntil(const std::string& series, double value) {
    while (Gauge(series) != value) std::this_thread::yield();
  }
};

// One call on a thread of its own. `stated`, where not negative, goes into the metadata as the size of the message.
class Caller {
 public:
  Caller(LoadedServer& server, v1::AttentionRequest request, int64_t stated = -1) : request_(std::move(request)) {
    if (stated >= 0) context_.AddMetadata("attend-message-bytes", std::to_string(stated));
    thread_ = std::thread([this, &server] { status_ = server.stub().Attention(&context_, request_, &response_); });
  }
  ~Caller() {
    if (thread_.joinable()) HangUp();
  }
  void HangUp() {
    context_.TryCancel();
    thread_.join();
  }
  const grpc::Status& Answer() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }
  const v1::AttentionResponse& response() const { return response_; }
  grpc::ClientContext& context() { return context_; }

 private:
  v1::AttentionRequest request_;
  grpc::ClientContext context_;
  v1::AttentionResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

// 6 MiB that take many seconds to compute.
v1::AttentionRequest LongCall() { return SelfAttention(1, 65536, 8); }

template <typename Detail>
Detail DetailOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  Detail detail;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&detail)) return detail;
  }
  ADD_FAILURE() << "no " << Detail::descriptor()->full_name();
  return detail;
}

TEST(Load, AFullQueueAnswersBusyAtOnce) {
  app::Options options = LoopbackOptions();
  options.max_calls = 1;
  options.max_queue = 1;
  LoadedServer server(options);
  Caller running(server, LongCall());
  server.WaitUntil("attend_admitted_calls", 1);
  Caller waiting(server, SelfAttention(1, 8, 8));
  server.WaitUntil("attend_waiting_calls", 1);

  grpc::ClientContext context;
  v1::AttentionResponse response;
  const grpc::Status status = server.stub().Attention(&context, SelfAttention(1, 8, 8), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status).reason(), "BUSY");
  const auto delay = DetailOf<google::rpc::RetryInfo>(status).retry_delay();
  const int64_t delay_ms = delay.seconds() * 1000 + delay.nanos() / 1000000;
  EXPECT_GE(delay_ms, 10);
  EXPECT_LE(delay_ms, 10000);
  const auto pushback = context.GetServerTrailingMetadata().find("grpc-retry-pushback-ms");
  ASSERT_NE(pushback, context.GetServerTrailingMetadata().end());
  EXPECT_EQ(std::string(pushback->second.begin(), pushback->second.end()), std::to_string(delay_ms));

  running.HangUp();
  EXPECT_TRUE(waiting.Answer().ok()) << "who waited is served";
}

TEST(Load, TooLargeIsToldApartAndNotRetried) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 8 << 20;
  LoadedServer server(options);
  for (const int64_t stated : {-1, 0, 6 << 20}) {
    Caller caller(server, LongCall(), stated);  // a body of 6 MiB: 12 while it is decoded
    EXPECT_EQ(caller.Answer().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    const auto info = DetailOf<google::rpc::ErrorInfo>(caller.Answer());
    EXPECT_EQ(info.reason(), "TOO_LARGE");
    EXPECT_EQ(info.metadata().at("limit_bytes"), std::to_string(8 << 20));
    const auto pushback = caller.context().GetServerTrailingMetadata().find("grpc-retry-pushback-ms");
    ASSERT_NE(pushback, caller.context().GetServerTrailingMetadata().end());
    EXPECT_EQ(std::string(pushback->second.begin(), pushback->second.end()), "-1");
  }
  server.WaitUntil("attend_memory_reserved_bytes", 0);
}

TEST(Load, ABodyLargerThanStatedIsAnswered) {
  LoadedServer server;
  const auto request = SelfAttention(8, 512, 64);  // 3 MiB
  Caller caller(server, request, 10);
  ASSERT_TRUE(caller.Answer().ok()) << caller.Answer().error_message();
  EXPECT_GE(caller.response().stats().peak_bytes(), 2 * request.ByteSizeLong() - 100);
}

TEST(Load, ABodyLargerThanStatedWaitsForTheDifference) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 18 << 20;
  LoadedServer server(options);
  Caller running(server, LongCall(), 6 << 20);
  server.WaitUntil("attend_inflight_calls{grpc_method=\"Attention\"}", 1);
  while (server.Gauge("attend_memory_reserved_bytes") < (8 << 20) ||
         server.Gauge("attend_memory_reserved_bytes") >= (12 << 20)) {
    std::this_thread::yield();  // decoded: request, response and tiles
  }
  Caller liar(server, SelfAttention(1, 512, 1024), 0);  // 6 MiB
  server.WaitUntil("attend_growing_calls", 1);
  Caller newcomer(server, SelfAttention(1, 8, 8), 1000);
  server.WaitUntil("attend_waiting_calls", 1);  // it would fit, but it is not its turn
  EXPECT_LT(server.Gauge("attend_memory_reserved_bytes"), 18 << 20);
  running.HangUp();
  EXPECT_TRUE(liar.Answer().ok()) << liar.Answer().error_message();
  EXPECT_TRUE(newcomer.Answer().ok()) << newcomer.Answer().error_message();
  server.WaitUntil("attend_memory_reserved_bytes", 0);
}

TEST(Load, WhoWaitsToGrowCanHangUp) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 18 << 20;
  LoadedServer server(options);
  Caller running(server, LongCall(), 6 << 20);
  while (server.Gauge("attend_memory_reserved_bytes") < (8 << 20)) std::this_thread::yield();
  Caller liar(server, SelfAttention(1, 512, 1024), 0);
  server.WaitUntil("attend_growing_calls", 1);
  liar.HangUp();
  server.WaitUntil("attend_growing_calls", 0);
  server.WaitUntil("attend_inflight_calls{grpc_method=\"Attention\"}", 1);
}

TEST(Load, CallsThatAllNeedMoreThanTheyStatedAreAnswered) {
  app::Options options = LoopbackOptions();
  options.memory_budget_bytes = 9 << 20;
  LoadedServer server(options);
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::make_unique<Caller>(server, SelfAttention(4, 340, 1024 / 4), 1));  // 4 MiB
  }
  for (const auto& caller : callers) EXPECT_TRUE(caller->Answer().ok()) << caller->Answer().error_message();
  server.WaitUntil("attend_memory_reserved_bytes", 0);
  EXPECT_EQ(server.Gauge("attend_admitted_calls"), 0);
}

// A call of seconds whose caller goes away frees everything at once. The bound is for a busy machine: a tile takes
// milliseconds, the rest is the way of the cancellation and of the metrics.
TEST(Load, AHangUpFreesTheMemory) {
  LoadedServer server;
  Caller caller(server, LongCall());
  server.WaitUntil("attend_inflight_calls{grpc_method=\"Attention\"}", 1);
  while (server.Gauge("attend_memory_reserved_bytes") < (8 << 20)) std::this_thread::yield();
  const auto begin = Clock::now();
  caller.HangUp();
  server.WaitUntil("attend_memory_reserved_bytes", 0);
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(500));
  EXPECT_EQ(server.Gauge("attend_admitted_calls"), 0);
}

TEST(Load, ALostConnectionFreesTheMemory) {
  LoadedServer server;
  Relay relay(server.server().port());
  const auto stub =
      v1::AttentionService::NewStub(grpc::CreateChannel(relay.address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::AttentionResponse response;
  grpc::Status status;
  std::thread calling([&] { status = stub->Attention(&context, LongCall(), &response); });
  while (server.Gauge("attend_memory_reserved_bytes") < (8 << 20) || server.Gauge("attend_admitted_calls") != 1) {
    std::this_thread::yield();
  }
  const auto begin = Clock::now();
  relay.Cut();
  server.WaitUntil("attend_memory_reserved_bytes", 0);
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(500));
  calling.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(Load, ADeadlineFreesTheMemory) {
  LoadedServer server;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  v1::AttentionResponse response;
  EXPECT_EQ(server.stub().Attention(&context, LongCall(), &response).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const auto begin = Clock::now();
  server.WaitUntil("attend_memory_reserved_bytes", 0);
  EXPECT_LT(Clock::now() - begin, std::chrono::milliseconds(500));
}

// The only compute thread is at work on tiles of tens of milliseconds; who asks for little does not wait for their end.
TEST(Load, ABriefCallDoesNotWaitForATile) {
  app::Options options = LoopbackOptions();
  options.compute_threads = 1;
  LoadedServer server(options);
  Caller large(server, SelfAttention(2, 4096, 1024));
  server.WaitUntil("attend_admitted_calls", 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));  // beyond reading and decoding
  std::vector<double> queued;
  for (int i = 0; i < 15; ++i) {
    Caller brief(server, SelfAttention(1, 8, 8));
    ASSERT_TRUE(brief.Answer().ok());
    queued.push_back(brief.response().stats().queue_seconds());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the large call has the thread again
  }
  std::nth_element(queued.begin(), queued.begin() + 7, queued.end());
  EXPECT_LT(queued[7], 1e-3);
  large.HangUp();
}

// The phases of a call cover what its handling took, be it long or short: the histograms add up.
TEST(Load, PhasesCoverTheHandling) {
  LoadedServer server;
  const auto sum = [&](const std::string& what) { return server.Gauge(what + "_sum{grpc_method=\"Attention\"}"); };
  const auto handling = [&] {
    return server.Gauge(
        "grpc_server_handling_seconds_sum{grpc_method=\"Attention\",grpc_service=\"attend.v1.AttentionService\","
        "grpc_type=\"unary\"}");
  };
  double phases_before = 0, handling_before = 0;
  for (const auto& request : {SelfAttention(1, 4, 4), SelfAttention(8, 64, 64), SelfAttention(4, 2048, 64)}) {
    Caller caller(server, request);
    ASSERT_TRUE(caller.Answer().ok());
    const double phases = sum("attend_queue_seconds") + sum("attend_decode_seconds") + sum("attend_compute_seconds") +
                          sum("attend_encode_seconds");
    EXPECT_GT(handling() - handling_before, 0);
    EXPECT_GE(phases - phases_before, 0.95 * (handling() - handling_before)) << request.heads().query().raw().size();
    EXPECT_LE(phases - phases_before, 1.001 * (handling() - handling_before));
    phases_before = phases;
    handling_before = handling();
  }
}

// An outside clock sees what the reply says: a call that is all arithmetic takes as long as its stats.
TEST(Load, StatsAgreeWithTheCallersClock) {
  LoadedServer server;
  const auto request = SelfAttention(1, 16384, 8);
  double best = 0;  // a busy machine can only add to the outside
  for (int i = 0; i < 5; ++i) {
    const auto begin = Clock::now();
    Caller caller(server, request);
    ASSERT_TRUE(caller.Answer().ok());
    const double outside = std::chrono::duration<double>(Clock::now() - begin).count();
    const auto& stats = caller.response().stats();
    const double inside =
        stats.queue_seconds() + stats.decode_seconds() + stats.compute_seconds() + stats.encode_seconds();
    EXPECT_GT(stats.encode_seconds(), 0);
    EXPECT_LE(inside, outside);
    best = std::max(best, inside / outside);
  }
  EXPECT_GE(best, 0.95);
}

}  // namespace
}  // namespace attend
