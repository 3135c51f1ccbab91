// Attention as a Lie group action against the softmax of the same scores.
#include "absl/strings/str_cat.h"
#include "tests/bench/attention_bench.h"
#include "tests/bench/backward_setup.h"
#include "tests/bench/timing.h"

namespace attend::bench {

void BenchAttentionGenerator(Figures& figures) {
  runtime::ComputePool one(1);
  for (const int64_t n : {128, 512, 1024}) {
    const AttentionShape shape{.n = n, .m = n};
    AttentionSetup softmax(shape);
    // Rates of about 0.8 in each of a row's pairs: exp moves a query by a few jumps.
    BackwardSetup generator(shape);
    generator.problem().normalization =
        compute::GeneratorExpNormalization{compute::Rate::kSoftplus, 4 / static_cast<double>(n)};
    const auto medians = MedianSecondsInTurns(
        5, {[&] { softmax.Run(one); }, [&] { generator.RunForward(one); }, [&] { generator.RunBackward(one); }});
    const std::string name = absl::StrCat("attention.generator.", shape.Name(), ".1t.");
    figures.Add(name + "ms", 1e3 * medians[1], "ms");
    figures.Add(name + "over_softmax", medians[1] / medians[0], "ratio");
    figures.Add(name + "backward_over_forward", medians[2] / medians[1], "ratio");
  }
}

}  // namespace attend::bench
