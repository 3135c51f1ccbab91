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
  setup.PrepareBackward(one);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.RunBackward(one); });
  const auto medians =
      MedianSecondsInTurns(repetitions, {[&] { setup.RunBackward(one); }, [&] { setup.RunBackward(two); }});
  figures.Add(absl::StrCat("attention.backward.", name, ".2t_over_1t"), medians[0] / medians[1], "ratio");
}

void BenchOverForward(const std::string& name, BackwardSetup& setup, Figures& figures) {
  runtime::ComputePool one(1);
  setup.PrepareBackward(one);
  const int repetitions = RepetitionsFor(kSecondsEach, [&] { setup.RunBackward(one); });
  const auto medians =
      MedianSecondsInTurns(repetitions, {[&] { setup.RunForward(one); }, [&] { setup.RunBackward(one); }});
  figures.Add(absl::StrCat("attention.backward.", name, ".over_forward"), medians[1] / medians[0], "ratio");
}

void BenchBoth(const std::string& name, BackwardSetup& setup, Figures& figures) {
  BenchTwoThreads(name, setup, figures);
  BenchOverForward(name, setup, figures);
}

}  // namespace

// Beside attention.backward.1x8x1024x64.over_forward, which the part attention has.
void BenchAttentionBackward(Figures& figures) {
  const AttentionShape usual{.n = 1024, .m = 1024};
  const AttentionShape one_head{.heads = 1, .n = 4096, .m = 4096};
  BackwardSetup plain(usual);
  BenchTwoThreads(usual.Name(), plain, figures);
  BackwardSetup causal(usual);
  causal.problem().mask.causal = true;
  BenchBoth(usual.Name() + ".causal", causal, figures);
  BackwardSetup alone(one_head);
  BenchBoth(one_head.Name(), alone, figures);
  for (const AttentionShape& shape : {usual, one_head}) {
    BackwardSetup shared(shape);
    shared.ShareABias();
    BenchBoth(shape.Name() + ".shared_bias", shared, figures);
  }
}

}  // namespace attend::bench
