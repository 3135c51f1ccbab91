// Callers that stop in the middle of a message give back what their calls hold.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/e2e/e2e_test_util.h"

namespace attend {
namespace {

using Clock = std::chrono::steady_clock;

app::Options ImpatientOptions() {
  app::Options options = LoopbackOptions();
  options.transfer_timeout_seconds = 0.5;
  return options;
}

double Gauge(Loopback& server, const std::string& series) {
  return SeriesValue(HttpGet(server.server().metrics_port(), "/metrics").body, series);
}

void WaitUntil(Loopback& server, const std::string& series, double value) {
  while (Gauge(server, series) != value) std::this_thread::yield();
}

grpc::ByteBuffer Serialized(const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

std::shared_ptr<grpc::Channel> ChannelOfSmallWindows(Loopback& server) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(), arguments);
}

// A call that does only what it is told to.
class SlowCall {
 public:
  explicit SlowCall(Loopback& server) : channel_(ChannelOfSmallWindows(server)), stub_(channel_) {
    context_.AddMetadata("attend-message-bytes", "0");
    call_ = stub_.PrepareCall(&context_, "/attend.v1.AttentionService/Attention", &queue_);
    call_->StartCall(this);
    Wait();
  }
  ~SlowCall() {
    context_.TryCancel();
    Finish();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  void Send(const google::protobuf::MessageLite& message) {
    call_->WriteLast(Serialized(message), grpc::WriteOptions(), this);
    Wait();
  }
  // Not until it has ended.
  const grpc::Status& Finish() {
    if (finished_) return status_;
    finished_ = true;
    call_->Finish(&status_, this);
    Wait();
    return status_;
  }

 private:
  void Wait() {
    void* tag;
    bool ok;
    queue_.Next(&tag, &ok);
  }

  std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::Status status_;
  bool finished_ = false;
};

TEST(StalledCallers, WhoDoesNotSendIsGivenUp) {
  Loopback server(ImpatientOptions());
  const auto begin = Clock::now();
  SlowCall call(server);
  const grpc::Status& status = call.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "the request did not arrive within 0.5 s");
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(500));
  WaitUntil(server, "attend_memory_reserved_bytes", 0);
  WaitUntil(server, "attend_admitted_calls", 0);
}

TEST(StalledCallers, WhoDoesNotTakeTheAnswerIsGivenUp) {
  Loopback server(ImpatientOptions());
  SlowCall call(server);
  const auto begin = Clock::now();
  call.Send(SelfAttention(2, 640, 64));  // an answer of 320 KiB, more than a window lets through
  while (Gauge(server, "attend_response_bytes_sum{grpc_method=\"Attention\"}") == 0) std::this_thread::yield();
  EXPECT_EQ(Gauge(server, "attend_admitted_calls"), 1) << "the answer is held";
  WaitUntil(server, "attend_memory_reserved_bytes", 0);
  WaitUntil(server, "attend_admitted_calls", 0);
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(1750)) << "0.5 s and 4 s per MiB";
}

TEST(StalledCallers, TheLeastPatienceIsNotEndless) {
  app::Options options = LoopbackOptions();
  options.transfer_timeout_seconds = 1e-9;
  Loopback server(options);
  SlowCall call(server);
  EXPECT_EQ(call.Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST(StalledCallers, WhoHangsUpBeforeSendingIsCountedAsCancelled) {
  Loopback server;
  for (int i = 0; i < 20; ++i) SlowCall call(server);
  WaitUntil(server, "attend_inflight_calls{grpc_method=\"Attention\"}", 0);
  EXPECT_EQ(Gauge(server,
                  "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Attention\","
                  "grpc_service=\"attend.v1.AttentionService\",grpc_type=\"unary\"}"),
            20);
}

// The timeout is for transfers alone: not for waiting, and not for computing.
TEST(StalledCallers, WhoWaitsForTheServerIsNotGivenUp) {
  app::Options options = ImpatientOptions();
  options.max_calls = 1;
  options.compute_threads = 1;
  Loopback server(options);
  v1::AttentionResponse response;
  grpc::Status first;
  std::thread running([&] {
    grpc::ClientContext context;
    v1::AttentionResponse ignored;
    first = server.stub().Attention(&context, SelfAttention(1, 8192, 1024), &ignored);  // more than a second
  });
  WaitUntil(server, "attend_admitted_calls", 1);
  grpc::ClientContext context;
  const grpc::Status second = server.stub().Attention(&context, SelfAttention(1, 8, 8), &response);
  running.join();
  EXPECT_TRUE(first.ok()) << first.error_message();
  EXPECT_TRUE(second.ok()) << second.error_message();
}

TEST(StalledCallers, PatienceOfZeroIsEndless) {
  app::Options options = LoopbackOptions();
  options.transfer_timeout_seconds = 0;
  Loopback server(options);
  SlowCall call(server);
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  EXPECT_EQ(Gauge(server, "attend_admitted_calls"), 1);
}

}  // namespace
}  // namespace attend
