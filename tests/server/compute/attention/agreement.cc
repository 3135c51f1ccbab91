// The comparisons with the oracle that attention_case.h declares.
#include "tests/server/compute/attention/attention_case.h"

namespace attend::compute {

namespace {

// Runs the case for `wanted` and compares what that asks for.
template <typename T>
void ExpectNear(const AttentionCase& c, Wanted wanted, const Answer& want) {
  const runtime::Cancellation cancellation;
  runtime::InlineExecutor executor(cancellation);
  const Tolerance tolerance = ToleranceFor(c, std::numeric_limits<T>::epsilon());
  Answer got;
  const absl::Status done = RunCase<T>(c, executor, wanted, got);
  ASSERT_TRUE(done.ok()) << c.name << ": " << done;
  EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output)) << c.name << " output";
  if (wanted == Wanted::kOutputOnly) return;
  EXPECT_TRUE(AllNear(got.lse, want.lse, tolerance.lse)) << c.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, tolerance.entropy)) << c.name << " entropy";
  if (wanted == Wanted::kRows) return;
  EXPECT_TRUE(AllNear(got.weights, want.weights, tolerance.weight)) << c.name << " weights";
  EXPECT_TRUE(AllNear(got.scores, want.scores, tolerance.score)) << c.name << " scores";
}

}  // namespace

template <typename T>
void ExpectAgreement(const AttentionCase& c) {
  const Answer want = Oracle(c);
  {
    SCOPED_TRACE("everything wanted");
    ExpectNear<T>(c, Wanted::kEverything, want);
  }
  SCOPED_TRACE("the output wanted alone");
  ExpectNear<T>(c, Wanted::kOutputOnly, want);
}

template <typename T>
void ExpectRowsAgree(const AttentionCase& c) {
  ExpectNear<T>(c, Wanted::kRows, Oracle(c));
}

template void ExpectAgreement<float>(const AttentionCase&);
template void ExpectAgreement<double>(const AttentionCase&);
template void ExpectRowsAgree<float>(const AttentionCase&);
template void ExpectRowsAgree<double>(const AttentionCase&);

}  // namespace attend::compute
