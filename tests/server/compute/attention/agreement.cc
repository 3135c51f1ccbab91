// The comparisons with the oracle that attention_case.h declares.
#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {

template <typename T>
void ExpectAgreement(const AttentionCase& c) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Answer want = Oracle(c);
  const Tolerance tolerance = ToleranceFor(c, std::numeric_limits<T>::epsilon());
  Answer got;
  const absl::Status done = RunCase<T>(c, executor, Wanted::kEverything, got);
  ASSERT_TRUE(done.ok()) << c.name << ": " << done;
  EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output)) << c.name << " output";
  EXPECT_TRUE(AllNear(got.weights, want.weights, tolerance.weight)) << c.name << " weights";
  EXPECT_TRUE(AllNear(got.scores, want.scores, tolerance.score)) << c.name << " scores";
  EXPECT_TRUE(AllNear(got.lse, want.lse, tolerance.lse)) << c.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, tolerance.entropy)) << c.name << " entropy";
  Answer alone;
  ASSERT_TRUE(RunCase<T>(c, executor, Wanted::kOutputOnly, alone).ok()) << c.name;
  EXPECT_TRUE(AllNear(alone.output, want.output, tolerance.output)) << c.name << " output, wanted alone";
}

template <typename T>
void ExpectRowsAgree(const AttentionCase& c) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Answer want = Oracle(c);
  const Tolerance tolerance = ToleranceFor(c, std::numeric_limits<T>::epsilon());
  Answer got;
  const absl::Status done = RunCase<T>(c, executor, Wanted::kRows, got);
  ASSERT_TRUE(done.ok()) << c.name << ": " << done;
  EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output)) << c.name << " output";
  EXPECT_TRUE(AllNear(got.lse, want.lse, tolerance.lse)) << c.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, tolerance.entropy)) << c.name << " entropy";
}

template void ExpectAgreement<float>(const AttentionCase&);
template void ExpectAgreement<double>(const AttentionCase&);
template void ExpectRowsAgree<float>(const AttentionCase&);
template void ExpectRowsAgree<double>(const AttentionCase&);

}  // namespace attend::compute
