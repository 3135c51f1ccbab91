// Whether work that a mask hides is really skipped.
#include <string>

#include "absl/strings/str_cat.h"
#include "server/compute/attention/attention.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/attention_setup.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 2;

// Time per visible pair with a mask over time per pair without: 1 where skipped work is really skipped.
void BenchSkippedWork(const std::string& name, AttentionSetup& masked, AttentionSetup& full, Figures& figures) {
  runtime::ComputePool one(1);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { full.Run(one); });
  const auto medians = MedianSecondsInTurns(repetitions, {[&] { masked.Run(one); }, [&] { full.Run(one); }});
  const double work = compute::AttentionFlops(masked.problem()) / compute::AttentionFlops(full.problem());
  figures.Add(absl::StrCat("attention.", name, ".1t.time_over_visible_pairs"), medians[0] / medians[1] / work, "ratio");
}

}  // namespace

void BenchGroupedAndPadded(Figures& figures) {
  const AttentionShape all{.batch = 1, .heads = 32, .n = 1024, .m = 1024, .d = 64, .kv_heads = 32};
  AttentionShape grouped_shape = all;
  grouped_shape.kv_heads = 8;
  AttentionSetup full(all);
  AttentionSetup grouped(grouped_shape);
  BenchSkippedWork("grouped32to8.1024x64", grouped, full, figures);
  const AttentionShape shape{.batch = 1, .heads = 8, .n = 4096, .m = 4096, .d = 64, .kv_heads = 8};
  AttentionSetup plain(shape);
  AttentionSetup padded(shape);
  padded.problem().mask.key_lengths = {1024};
  BenchSkippedWork("lengths1024of4096x64", padded, plain, figures);
}

// The last `window` keys up to each query's own.
void BenchAttentionWindow(Figures& figures) {
  const AttentionShape shape{.batch = 1, .heads = 8, .n = 4096, .m = 4096, .d = 64, .kv_heads = 8};
  AttentionSetup plain(shape);
  AttentionSetup windowed(shape);
  windowed.problem().mask.causal = true;
  for (const int64_t window : {64, 128, 256, 512, 1024}) {
    windowed.problem().mask.window_left = window - 1;
    BenchSkippedWork(absl::StrCat("window", window, "of4096x64"), windowed, plain, figures);
  }
}

}  // namespace attend::bench
