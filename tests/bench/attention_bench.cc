#include "tests/bench/attention_bench.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/backward_setup.h"
#include "tests/bench/machine.h"
#include "tests/bench/timing.h"
#include "tests/process/proc_status.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 2;
constexpr double kMiB = 1 << 20;

void ShareOfPeak(AttentionSetup& setup, const std::string& name, double flops, SgemmPeak& peak, Figures& figures) {
  runtime::ComputePool one(1);
  const double seconds = MedianSecondsBeside(peak, kSecondsEach, [&] { return setup.Run(one); });
  figures.Add(absl::StrCat("attention.", name, ".1t.share_of_peak"), flops / seconds / peak.flops_per_second(),
              "ratio");
}

double AllPairsFlops(const AttentionShape& s) {
  return 4.0 * static_cast<double>(s.batch * s.heads * s.n) * static_cast<double>(s.m * s.d);
}

void BenchFull(const AttentionShape& shape, SgemmPeak& peak, Figures& figures) {
  AttentionSetup setup(shape);
  ShareOfPeak(setup, shape.Name(), AllPairsFlops(shape), peak, figures);
}

void BenchCausal(const AttentionShape& shape, SgemmPeak& peak, Figures& figures) {
  AttentionSetup setup(shape);
  setup.problem().mask.causal = true;
  ShareOfPeak(setup, absl::StrCat(shape.Name(), ".causal"), AllPairsFlops(shape) / 2, peak, figures);
}

void BenchTwoThreads(const AttentionShape& shape, Figures& figures) {
  AttentionSetup setup(shape);
  runtime::ComputePool one(1);
  runtime::ComputePool two(2);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.Run(one); });
  const auto medians = MedianSecondsInTurns(repetitions, {[&] { setup.Run(one); }, [&] { setup.Run(two); }});
  figures.Add(absl::StrCat("attention.", shape.Name(), ".2t_over_1t"), medians[0] / medians[1], "ratio");
}

void BenchDecode(Figures& figures) {
  const AttentionShape shape{.batch = 1, .heads = 32, .n = 1, .m = 4096, .d = 128, .kv_heads = 0};
  AttentionSetup setup(shape);
  ReadBandwidth bandwidth;
  runtime::ComputePool one(1);
  std::vector<double> times;
  setup.Run(one);
  for (int i = 0; i < 60; ++i) {
    if (i % 3 == 0) bandwidth.Run();
    times.push_back(setup.Run(one));
  }
  const double bytes = 2.0 * sizeof(float) * static_cast<double>(shape.heads * shape.m * shape.d);
  figures.Add("memory.read.1t.gb_per_s", bandwidth.bytes_per_second() / 1e9, "GB/s");
  figures.Add(absl::StrCat("attention.decode.", shape.Name(), ".1t.share_of_bandwidth"),
              bytes / Median(std::move(times)) / bandwidth.bytes_per_second(), "ratio");
}

// The gradients of query, key and value over the forward pass.
void BenchBackward(const AttentionShape& shape, Figures& figures) {
  BackwardSetup setup(shape);
  runtime::ComputePool one(1);
  setup.PrepareBackward(one);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.RunBackward(one); });
  const auto medians =
      MedianSecondsInTurns(repetitions, {[&] { setup.RunForward(one); }, [&] { setup.RunBackward(one); }});
  figures.Add(absl::StrCat("attention.backward.", shape.Name(), ".over_forward"), medians[1] / medians[0], "ratio");
}

}  // namespace

void BenchAttention(Figures& figures) {
  SgemmPeak peak;
  figures.Add("sgemm.1t.peak_gflops", peak.flops_per_second() / 1e9, "GFLOP/s");
  for (int64_t n : {128, 512, 1024, 2048, 4096}) BenchFull({.n = n, .m = n}, peak, figures);
  BenchFull({.heads = 32, .n = 1024, .m = 1024, .d = 128}, peak, figures);
  for (int64_t n : {1024, 4096}) BenchCausal({.n = n, .m = n}, peak, figures);
  for (int64_t n : {512, 1024, 4096}) BenchTwoThreads({.n = n, .m = n}, figures);
  BenchDecode(figures);
  BenchBackward({.n = 1024, .m = 1024}, figures);
  BenchGroupedAndPadded(figures);
}

void BenchAttentionMemory(Figures& figures) {
  const AttentionShape shape{.batch = 1, .heads = 1, .n = 65536, .m = 65536, .d = 64, .kv_heads = 1};
  AttentionSetup setup(shape);
  const auto before = static_cast<double>(StatusBytes("self", "VmRSS"));
  ForgetPeakResident("self");
  runtime::ComputePool two(2);
  setup.Run(two);
  figures.Add("attention.1x1x65536x64.peak_beside_tensors_mib",
              (static_cast<double>(StatusBytes("self", "VmHWM")) - before) / kMiB, "MiB");
}

}  // namespace attend::bench
