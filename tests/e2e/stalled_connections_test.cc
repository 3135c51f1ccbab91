// Callers whose sockets are full: neither cancelling their calls nor their deadlines end what gRPC is writing.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/app/signals.h"
#include "tests/e2e/e2e_test_util.h"
#include "tests/e2e/raw_connection.h"

namespace attend {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int64_t kSide = 2048;
constexpr size_t kAnswerBytes = kSide * kSide * sizeof(float);  // 16 MiB: more than any socket takes

// A column times a row: some 16 KiB.
std::string SmallRequestForALargeAnswer() {
  const std::vector<float> ones(kSide, 1.0f);
  v1::ProjectRequest request;
  *request.mutable_linear()->mutable_x() = FloatTensor({kSide, 1}, ones);
  *request.mutable_linear()->add_w() = FloatTensor({1, kSide}, ones);
  return request.SerializeAsString();
}

double Reading(Loopback& server, const std::string& series) {
  return SeriesValue(HttpGet(server.server().metrics_port(), "/metrics").body, series);
}

void WaitUntil(Loopback& server, const std::string& series, double value) {
  while (Reading(server, series) != value) std::this_thread::yield();
}

class StalledConnections : public ::testing::TestWithParam<const char*> {
 protected:
  app::Options OptionsWith(double timeout_seconds) {
    app::Options options = LoopbackOptions();
    options.transfer_timeout_seconds = timeout_seconds;
    const std::string path = ::testing::TempDir() + "/attend_stalled_" + std::to_string(getpid());
    if (GetParam() == std::string("unix")) options.listen = "unix:" + path;
    return options;
  }
};

TEST_P(StalledConnections, WhoReadsNothingIsGivenUp) {
  Loopback server(OptionsWith(0.5));
  v1::GetServerInfoResponse info;
  grpc::ClientContext before, after;
  ASSERT_TRUE(server.stub().GetServerInfo(&before, {}, &info).ok());
  const double fds = Reading(server, "process_open_fds");
  std::vector<std::unique_ptr<RawConnection>> deaf;
  for (int i = 0; i < 4; ++i) {
    deaf.push_back(std::make_unique<RawConnection>(server.address()));
    ASSERT_TRUE(deaf.back()->connected());
    deaf.back()->Call("Project", SmallRequestForALargeAnswer());
  }
  WaitUntil(server,
            "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Project\",grpc_service=\"attend.v1."
            "AttentionService\",grpc_type=\"unary\"}",
            4);
  WaitUntil(server, "attend_admitted_calls", 0);
  WaitUntil(server, "attend_memory_reserved_bytes", 0);
  WaitUntil(server, "process_open_fds", fds + 4);  // this process has their other ends
  EXPECT_TRUE(server.stub().GetServerInfo(&after, {}, &info).ok());
}

TEST_P(StalledConnections, WhoReadsSlowlyIsNotGivenUp) {
  Loopback server(OptionsWith(0.5));
  RawConnection slow(server.address());
  const auto begin = Clock::now();
  slow.Call("Project", SmallRequestForALargeAnswer());
  size_t all = 0;
  while (all < kAnswerBytes) {
    const size_t read = slow.Read(512 << 10);
    ASSERT_GT(read, 0u) << "after " << all << " bytes";
    all += read;
    // Slower than the patience, for the answer as a whole.
    std::this_thread::sleep_until(begin + milliseconds(2500) * static_cast<double>(all) / kAnswerBytes);
  }
  WaitUntil(server, "attend_admitted_calls", 0);
}

TEST_P(StalledConnections, DoNotHoldUpTheShutdown) {
  Loopback server(OptionsWith(0));
  RawConnection deaf(server.address());
  deaf.Call("Project", SmallRequestForALargeAnswer());
  while (Reading(server, "attend_response_bytes_sum{grpc_method=\"Project\"}") == 0) std::this_thread::yield();
  const auto begin = Clock::now();
  server.server().Shutdown(milliseconds(100));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
}

INSTANTIATE_TEST_SUITE_P(, StalledConnections, ::testing::Values("tcp", "unix"),
                         [](const auto& test) { return std::string(test.param); });

TEST(EndProcessAfterDeathTest, LeavesWhateverHappens) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto wait_for_ever = [] {
    app::EndProcessAfter(milliseconds(10), 3);
    pause();
  };
  EXPECT_EXIT(wait_for_ever(), ::testing::ExitedWithCode(3), "could not end all calls");
}

}  // namespace
}  // namespace attend
