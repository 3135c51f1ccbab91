#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/bench/load_bench.h"
#include "tests/bench/raw_caller.h"
#include "tests/bench/timing.h"
#include "tests/process/server_process.h"

namespace attend::bench {
namespace {

constexpr double kMiB = 1 << 20;
constexpr double kMaxBytesOfAMix = 4 << 20;

void Must(const grpc::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "a call failed: %s\n", status.error_message().c_str());
  std::abort();
}

double PeakOverIdleMib(bool states_size) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--memory_budget", "64MiB"});
  const auto call = [&](const grpc::ByteBuffer& request) {
    grpc::ByteBuffer response;
    Must(RawCaller(server.address(), "Attention", states_size).Call(request, &response));
  };
  call(AttentionBytes(1, 8, 8));
  const auto idle = static_cast<double>(server.resident_bytes());
  server.ForgetPeak();
  const grpc::ByteBuffer request = AttentionBytes(8, 1365, 64);
  std::vector<std::thread> callers;
  for (int i = 0; i < 48; ++i) callers.emplace_back([&] { call(request); });
  for (std::thread& caller : callers) caller.join();
  return (static_cast<double>(server.peak_resident_bytes()) - idle) / kMiB;
}

// Requests of 1 KiB to 4 MiB, each size as likely as its half.
std::vector<grpc::ByteBuffer> Mix() {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> exponent(std::log2(1024), std::log2(kMaxBytesOfAMix));
  std::vector<grpc::ByteBuffer> mix;
  for (int i = 0; i < 64; ++i) {
    const double bytes = std::exp2(exponent(random));
    mix.push_back(
        AttentionBytes(1 + i % 4, std::max<int64_t>(1, static_cast<int64_t>(bytes / 3 / 4 / 64 / (1 + i % 4))), 64));
  }
  return mix;
}

void SendMix(const std::string& address, const std::vector<grpc::ByteBuffer>& mix, int calls, unsigned seed) {
  constexpr int kCallers = 4;
  std::atomic<int> left{calls};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      std::mt19937 random(seed + static_cast<unsigned>(i));
      const RawCaller caller(address, "Attention", i % 2 == 0);
      while (left.fetch_sub(1) > 0) {
        grpc::ByteBuffer response;
        Must(caller.Call(mix[random() % mix.size()], &response));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

}  // namespace

void BenchMemory(Figures& figures) {
  figures.Add("memory.48x8MiB.peak_over_idle_mib", PeakOverIdleMib(true), "MiB");
  figures.Add("memory.48x8MiB.unstated.peak_over_idle_mib", PeakOverIdleMib(false), "MiB");

  ServerProcess server(ATTEND_SERVER_PROGRAM, {});
  const std::vector<grpc::ByteBuffer> mix = Mix();
  SendMix(server.address(), mix, 1000, 100);
  const auto after_1000 = static_cast<double>(server.resident_bytes());
  SendMix(server.address(), mix, 19000, 200);
  const auto after_20000 = static_cast<double>(server.resident_bytes());
  figures.Add("memory.mix.after_1000_calls_mib", after_1000 / kMiB, "MiB");
  figures.Add("memory.mix.growth_to_20000_calls", after_20000 / after_1000, "ratio");
}

}  // namespace attend::bench
