// What the server holds while it is asked for more than its budget, read from the system.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <random>
#include <thread>

#include "tests/e2e/e2e_test_util.h"
#include "tests/process/server_process.h"

namespace attend {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

enum class SizeStated { kNo, kYes };

std::unique_ptr<v1::AttentionService::Stub> StubOf(const ServerProcess& server) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  return v1::AttentionService::NewStub(
      grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(), arguments));
}

grpc::Status Attend(const ServerProcess& server, const v1::AttentionRequest& request, SizeStated stated) {
  grpc::ClientContext context;
  if (stated == SizeStated::kYes) context.AddMetadata("attend-message-bytes", std::to_string(request.ByteSizeLong()));
  v1::AttentionResponse response;
  return StubOf(server)->Attention(&context, request, &response);
}

// How far the peak of resident memory is above what it was before, while that many callers call at once.
uint64_t PeakOverIdle(ServerProcess& server, int callers, const v1::AttentionRequest& request, SizeStated stated) {
  EXPECT_TRUE(Attend(server, SelfAttention(1, 8, 8), stated).ok());
  const uint64_t idle = server.resident_bytes();
  server.ForgetPeak();
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      const grpc::Status status = Attend(server, request, stated);
      EXPECT_TRUE(status.ok()) << status.error_message();
      if (status.ok()) ++answered;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, callers);
  return server.peak_resident_bytes() - idle;
}

class MemoryTest : public ::testing::TestWithParam<SizeStated> {};

TEST_P(MemoryTest, ManyCallsOfEightMiBStayCloseToTheBudget) {
  const auto request = SelfAttention(8, 1365, 64);
  ASSERT_GT(request.ByteSizeLong(), 799 * kMiB / 100);
  ASSERT_LT(request.ByteSizeLong(), 801 * kMiB / 100);
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--memory_budget", "64MiB"});
  const uint64_t peak = PeakOverIdle(server, 48, request, GetParam());
  RecordProperty("peak_over_idle_mib", static_cast<int>(peak / kMiB));
  EXPECT_LE(peak, 96 * kMiB);
}

// Calls of random sizes, each as likely as its half, from 1 KiB to 1 MiB.
void CallAtRandom(const ServerProcess& server, int calls, unsigned seed) {
  constexpr int kCallers = 4;
  std::vector<std::thread> threads;
  for (int i = 0; i < kCallers; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937 random(seed + static_cast<unsigned>(i));
      std::uniform_real_distribution<double> exponent(0, 10);
      const auto stub = StubOf(server);
      for (int call = 0; call < calls / kCallers; ++call) {
        grpc::ClientContext context;
        v1::AttentionResponse response;
        const auto rows = static_cast<int64_t>(std::exp2(exponent(random)) * 1024 / (3 * 4 * 64));
        const grpc::Status status = stub->Attention(&context, SelfAttention(1, 1 + rows, 64), &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Memory, DoesNotGrowWithTheNumberOfCalls) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {});
  CallAtRandom(server, 400, 1);
  const uint64_t early = server.resident_bytes();
  CallAtRandom(server, 4000, 100);
  const uint64_t late = server.resident_bytes();
  EXPECT_LE(late, early + early / 5) << early / kMiB << " MiB grew to " << late / kMiB << " MiB";
}

INSTANTIATE_TEST_SUITE_P(Stated, MemoryTest, ::testing::Values(SizeStated::kNo, SizeStated::kYes),
                         [](const auto& each) { return each.param == SizeStated::kYes ? "Yes" : "No"; });

}  // namespace
}  // namespace attend
