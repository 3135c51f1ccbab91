#include <atomic>
#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/open_loop.h"
#include "tests/process/server_process.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace attend::bench {
namespace {

constexpr double kSeconds = 6;
constexpr std::chrono::milliseconds kTimeout{1000};
constexpr int kCallers = 16;

// How long health checks take, one every 20 ms, until it is destroyed.
class HealthWatch {
 public:
  explicit HealthWatch(const std::string& address)
      : stub_(grpc::health::v1::Health::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        thread_([this] { Run(); }) {}

  std::vector<double> Stop() {
    stop_ = true;
    thread_.join();
    return seconds_;
  }

 private:
  void Run() {
    while (!stop_) {
      grpc::ClientContext context;
      grpc::health::v1::HealthCheckResponse response;
      const auto begin = LoadClock::now();
      const grpc::Status status = stub_->Check(&context, {}, &response);
      const double seconds = std::chrono::duration<double>(LoadClock::now() - begin).count();
      seconds_.push_back(status.ok() ? seconds : 1e9);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::unique_ptr<grpc::health::v1::Health::Stub> stub_;
  std::vector<double> seconds_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace

// Calls of 0.75 MiB and 0.27 GFLOP with a deadline of one second: refusing must cost little beside them.
void BenchOverload(Figures& figures) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--compute_threads", "2"});
  const grpc::ByteBuffer request = AttentionBytes(1, 1024, 64);
  const double most = ClosedLoopRate(server.address(), request, kCallers, kSeconds);
  figures.Add("overload.closed16.calls_per_second", most, "1/s");

  std::vector<std::unique_ptr<RawCaller>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<RawCaller>(server.address(), "Attention", true));
  }
  HealthWatch health(server.address());
  const OpenLoopResult result = RunOpenLoop(callers, request, 3 * most, kSeconds, kTimeout);
  const std::vector<double> health_seconds = health.Stop();
  // The callers share the server's cores and start three times as many calls: what that takes lowers the goodput.
  figures.Add("overload.3x.goodput_share", static_cast<double>(result.answered_seconds.size()) / result.seconds / most,
              "ratio");
  figures.Add("overload.3x.expired_share", result.failed / (3 * most * result.seconds), "ratio");
  if (!result.refused_seconds.empty()) {
    figures.Add("overload.3x.refusal_ms", Quantile(result.refused_seconds, 0.5) * 1e3, "ms");
    figures.Add("overload.3x.refusal_p99_ms", Quantile(result.refused_seconds, 0.99) * 1e3, "ms");
  }
  figures.Add("overload.3x.health_ms", Quantile(health_seconds, 0.99) * 1e3, "ms");
}

}  // namespace attend::bench
