#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/bench/load_bench.h"
#include "tests/bench/open_loop.h"
#include "tests/bench/timing.h"
#include "tests/process/server_process.h"

namespace attend::bench {
namespace {

constexpr int kThreads = 2;

double OwnCpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

// One caller that calls until `stop`, and how long each call took.
std::vector<double> CallUntil(const std::atomic<bool>& stop, const RawCaller& caller, const grpc::ByteBuffer& request) {
  std::vector<double> seconds;
  while (!stop) {
    grpc::ByteBuffer response;
    seconds.push_back(Seconds([&] {
      if (!caller.Call(request, &response).ok()) std::abort();
    }));
  }
  return seconds;
}

struct SmallCalls {
  std::vector<double> seconds;
  double cpu_seconds_each = 0;  // of caller and server together
};

SmallCalls SmallCallsAlone(const ServerProcess& server, const RawCaller& caller, const grpc::ByteBuffer& request) {
  std::atomic<bool> stop{false};
  SmallCalls calls;
  const double cpu_before = server.cpu_seconds() + OwnCpuSeconds();
  std::thread small([&] { calls.seconds = CallUntil(stop, caller, request); });
  std::this_thread::sleep_for(std::chrono::seconds(3));
  stop = true;
  small.join();
  const double cpu = server.cpu_seconds() + OwnCpuSeconds() - cpu_before;
  calls.cpu_seconds_each = cpu / static_cast<double>(calls.seconds.size());
  return calls;
}

}  // namespace

void BenchFairness(Figures& figures) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--compute_threads", std::to_string(kThreads)});
  const RawCaller small_caller(server.address(), "Attention", true);
  const RawCaller large_caller(server.address(), "Attention", true);
  const grpc::ByteBuffer small = AttentionBytes(8, 64, 64);
  const grpc::ByteBuffer large = AttentionBytes(8, 8192, 64);
  const auto call_large = [&] {
    grpc::ByteBuffer response;
    if (!large_caller.Call(large, &response).ok()) std::abort();
  };
  call_large();
  const SmallCalls alone = SmallCallsAlone(server, small_caller, small);
  std::vector<double> large_alone, beside, slowdown;
  for (int repetition = 0; repetition < 5; ++repetition) {
    large_alone.push_back(Seconds(call_large));
    std::atomic<bool> stop{false};
    std::vector<double> small_seconds;
    std::thread calling([&] { small_seconds = CallUntil(stop, small_caller, small); });
    const double together = Seconds(call_large);
    stop = true;
    calling.join();
    // What the small calls take of the machine, their caller's part included: it runs on the same cores.
    const double theirs = static_cast<double>(small_seconds.size()) * alone.cpu_seconds_each / kThreads;
    slowdown.push_back(together / (large_alone.back() + theirs));
    beside.insert(beside.end(), small_seconds.begin(), small_seconds.end());
  }
  figures.Add("fairness.large_alone_ms", Median(large_alone) * 1e3, "ms");
  figures.Add("fairness.small_idle_p99_ms", Quantile(alone.seconds, 0.99) * 1e3, "ms");
  figures.Add("fairness.small_beside_p99_ms", Quantile(beside, 0.99) * 1e3, "ms");
  figures.Add("fairness.small_p99_ratio", Quantile(beside, 0.99) / Quantile(alone.seconds, 0.99), "ratio");
  figures.Add("fairness.large_slowdown", Median(slowdown), "ratio");
}

}  // namespace attend::bench
