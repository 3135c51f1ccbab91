// The backward pass: what masks, shared biases and a second thread do to it.
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/backward_setup.h"
#include "tests/bench/timing.h"

namespace attend::bench {
namespace {

constexpr double kSecondsEach = 3;

void BenchTwoThreads(const std::string& name, BackwardSetup& setup, Figures& figures) {
  runtime::ComputePool one(1);
  runtime::ComputePool two(2);
  setup.RunForward(one);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.RunBackward(one); });
  const auto medians =
      MedianSecondsInTurns(repetitions, {[&] { setup.RunBackward(one); }, [&] { setup.RunBackward(two); }});
  figures.Add(absl::StrCat("attention.backward.", name, ".2t_over_1t"), medians[0] / medians[1], "ratio");
}

void BenchOverForward(const std::string& name, BackwardSetup& setup, Figures& figures) {
  runtime::ComputePool one(1);
  setup.RunForward(one);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.RunBackward(one); });
  const auto medians =
      MedianSecondsInTurns(repetitions, {[&] { setup.RunForward(one); }, [&] { setup.RunBackward(one); }});
  figures.Add(absl::StrCat("attention.backward.", name, ".over_forward"), medians[1] / medians[0], "ratio");
}

}  // namespace

void BenchAttentionBackward(Figures& figures) {
  for (const AttentionShape& shape :
       {AttentionShape{.n = 1024, .m = 1024}, AttentionShape{.heads = 1, .n = 4096, .m = 4096},
        AttentionShape{.heads = 2, .n = 2048, .m = 2048}}) {
    BackwardSetup plain(shape);
    BenchTwoThreads(shape.Name(), plain, figures);
    BenchOverForward(shape.Name(), plain, figures);
    BackwardSetup shared(shape);
    shared.ShareABias();
    BenchTwoThreads(shape.Name() + ".shared_bias", shared, figures);
    BenchOverForward(shape.Name() + ".shared_bias", shared, figures);
  }
  BackwardSetup causal({.n = 1024, .m = 1024});
  causal.problem().mask.causal = true;
  BenchTwoThreads("1x8x1024x64.causal", causal, figures);
  BenchOverForward("1x8x1024x64.causal", causal, figures);
}

}  // namespace attend::bench
