// The benchmarks. scripts/bench.sh builds and runs them.
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "server/app/process_tuning.h"
#include "server/runtime/cpu_quota.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/expm_bench.h"
#include "tests/bench/figures.h"
#include "tests/bench/load_bench.h"
#include "tests/bench/plain_server.h"
#include "tests/bench/project_bench.h"
#include "tests/bench/rpc_bench.h"

int main(int argc, char** argv) {
  const bool serves_plainly = argc > 1 && std::string(argv[1]) == "serve-plain";  // with every default
  if (!serves_plainly) attend::app::TuneProcess(uint64_t{1} << 30, attend::runtime::CpuQuota());
  using attend::bench::Figures;
  const std::map<std::string, std::function<void(Figures&)>> parts = {
      {"attention", attend::bench::BenchAttention},
      {"attention_additive", attend::bench::BenchAttentionAdditive},
      {"attention_backward", attend::bench::BenchAttentionBackward},
      {"attention_generator", attend::bench::BenchAttentionGenerator},
      {"attention_memory", attend::bench::BenchAttentionMemory},
      {"attention_tokens", attend::bench::BenchAttentionTokens},
      {"attention_window", attend::bench::BenchAttentionWindow},
      {"cancel", attend::bench::BenchCancel},
      {"fairness", attend::bench::BenchFairness},
      {"expm", attend::bench::BenchExpm},
      {"expm_action", attend::bench::BenchExpmAction},
      {"low_rank", attend::bench::BenchLowRank},
      {"memory", attend::bench::BenchMemory},
      {"overload", attend::bench::BenchOverload},
      {"project", attend::bench::BenchProject},
      {"rpc", attend::bench::BenchRpc},
      {"stretch", attend::bench::BenchStretch},
      {"throughput", attend::bench::BenchThroughput},
  };
  // The rpc part's other side, in a process of its own.
  if (argc == 3 && std::string(argv[1]) == "serve-plain") return attend::bench::ServePlainly(argv[2]);
  if (argc < 2) {
    std::fprintf(stderr, "usage: attend-bench REPORT.json [PART...]\n");
    return 2;
  }
  std::vector<std::string> wanted(argv + 2, argv + argc);
  if (wanted.empty()) {
    for (const auto& [name, run] : parts) wanted.push_back(name);
  }
  for (const std::string& name : wanted) {
    if (parts.contains(name)) continue;
    std::fprintf(stderr, "attend-bench: there is no part '%s'. Parts:", name.c_str());
    for (const auto& [part, run] : parts) std::fprintf(stderr, " %s", part.c_str());
    std::fprintf(stderr, "\n");
    return 2;
  }
  Figures figures;
  for (const std::string& name : wanted) parts.at(name)(figures);
  if (figures.WriteTo(argv[1])) return 0;
  std::fprintf(stderr, "attend-bench: cannot write %s\n", argv[1]);
  return 1;
}
