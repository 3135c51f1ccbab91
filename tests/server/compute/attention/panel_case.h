// An attention case in float32 as the panels run it: heads laid out as callers may lay them out, every array at the end
// of its memory (see guarded_array.h), results wanted by rows alone.
#ifndef ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_PANEL_CASE_H_
#define ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_PANEL_CASE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hwy/tests/hwy_gtest.h"
#include "server/compute/attention/panel_block.h"
#include "server/compute/attention/problem.h"
#include "tests/server/compute/attention/attention_case.h"
#include "tests/server/compute/guarded_array.h"

namespace attend::compute {

// [batch, heads, rows, cols]; [batch, rows, heads, cols], as products of tokens leave it; the same with gaps after
// every row of a head, every row of tokens and every batch.
enum class Layout { kHeads, kTokens, kGaps };

// One array of heads.
class LaidOutHeads {
 public:
  struct Shape {
    int64_t batch;
    int64_t heads;
    int64_t rows;
    int64_t cols;
  };
  static constexpr float kCanary = 12345.625F;

  LaidOutHeads(const Shape& shape, Layout layout);

  void Fill(const std::vector<double>& contiguous) const;
  std::vector<double> Contiguous() const;
  HeadsView<float> view() const { return {memory_.data(), batch_stride_, head_stride_, row_stride_}; }
  HeadsView<const float> const_view() const { return {memory_.data(), batch_stride_, head_stride_, row_stride_}; }
  // Whether everything that is no element still holds the canary.
  testing::AssertionResult OnlyElementsWritten() const;

 private:
  template <typename Visitor>
  void ForEachElement(const Visitor& visit) const;

  const Shape shape_;
  const int64_t row_stride_;
  const int64_t head_stride_;
  const int64_t batch_stride_;
  const GuardedArray<float> memory_;
};

class PanelCase {
 public:
  // REQUIRES: c has a dot product score and no position.
  PanelCase(const AttentionCase& c, Layout layout);

  const AttentionProblem<float>& problem() const { return problem_; }
  // Output, and lse and entropy where kRows.
  AttentionResult<float> Results(Wanted wanted) const;
  // Runs block after block. Returns whether the panels held all of them.
  bool RunBlocks(Wanted wanted) const;
  // Output, lse and entropy as the last run left them.
  Answer Got() const;
  testing::AssertionResult OnlyResultsWritten() const;

 private:
  const std::vector<float> no_bias_;
  const ScoreParameters<float> no_parameters_;
  const LaidOutHeads query_, key_, value_, output_;
  const GuardedArray<float> bias_, lse_, entropy_;
  const GuardedArray<uint8_t> allowed_;
  AttentionProblem<float> problem_;
};

AttentionCase Named(AttentionCase c, const std::string& name);

// Suites of panels run once with each of PanelTargets: the instruction sets that the kernels were compiled for and that
// this CPU has.
class PanelTest : public hwy::TestWithParamTarget {};
std::vector<int64_t> PanelTargets();

// What the panels' sums add to ToleranceFor.
Tolerance PanelTolerance(const AttentionCase& c);

// Runs the case by panels and compares output, lse and entropy with the oracle.
void ExpectPanelsAgree(const AttentionCase& c, Layout layout = Layout::kHeads);

}  // namespace attend::compute

#endif  // ATTEND_TESTS_SERVER_COMPUTE_ATTENTION_PANEL_CASE_H_
