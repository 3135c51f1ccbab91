#include "tests/bench/attention_setup.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/open_loop.h"
#include "tests/bench/timing.h"
#include "tests/process/server_process.h"

namespace attend::bench {
namespace {

constexpr int kThreads = 2;
constexpr int kCallers = 16;
constexpr double kSeconds = 4;
constexpr AttentionShape kShape{.batch = 1, .heads = 8, .n = 64, .m = 64, .d = 64};

// Of one call on one thread, without a server.
double SecondsInProcess() {
  runtime::ComputePool pool(1);
  AttentionSetup setup(kShape);
  return MedianSecondsInTurns(2000, {[&] { setup.Run(pool); }})[0];
}

}  // namespace

void BenchThroughput(Figures& figures) {
  ServerProcess server(ATTEND_SERVER_PROGRAM, {"--compute_threads", std::to_string(kThreads)});
  const grpc::ByteBuffer request = AttentionBytes(kShape.heads, kShape.n, kShape.d);
  const double alone = SecondsInProcess();
  const double cpu_before = server.cpu_seconds();
  const double rate = ClosedLoopRate(server.address(), request, kCallers, kSeconds);
  const double server_cpu = (server.cpu_seconds() - cpu_before) / (kSeconds + 0.5);
  // The callers run on the same two cores: the share cannot reach 1 - (what they take of them).
  figures.Add("throughput.closed16.calls_per_second", rate, "1/s");
  figures.Add("throughput.closed16.share_of_compute", rate * alone / kThreads, "ratio");
  figures.Add("throughput.closed16.server_cores", server_cpu, "cores");
  figures.Add("throughput.closed16.in_process_us", alone * 1e6, "us");

  std::vector<std::unique_ptr<RawCaller>> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.push_back(std::make_unique<RawCaller>(server.address(), "Attention", true));
  }
  const OpenLoopResult poisson = RunOpenLoop(callers, request, 0.7 * rate, kSeconds, std::chrono::seconds(10));
  figures.Add("throughput.poisson70.p50_ms", Quantile(poisson.answered_seconds, 0.5) * 1e3, "ms");
  figures.Add("throughput.poisson70.p99_over_p50",
              Quantile(poisson.answered_seconds, 0.99) / Quantile(poisson.answered_seconds, 0.5), "ratio");
}

}  // namespace attend::bench
