#include "tests/server/compute/attention/panel_case.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/runtime/buffer_pool.h"

namespace attend::compute {
namespace {

constexpr int64_t kHeadGap = 3;
constexpr int64_t kRowGap = 5;
constexpr int64_t kBatchGap = 7;

int64_t RowStride(const LaidOutHeads::Shape& s, Layout layout) {
  if (layout == Layout::kHeads) return s.cols;
  return layout == Layout::kTokens ? s.heads * s.cols : s.heads * (s.cols + kHeadGap) + kRowGap;
}

int64_t HeadStride(const LaidOutHeads::Shape& s, Layout layout) {
  if (layout == Layout::kHeads) return s.rows * s.cols;
  return layout == Layout::kTokens ? s.cols : s.cols + kHeadGap;
}

int64_t BatchStride(const LaidOutHeads::Shape& s, Layout layout) {
  if (layout == Layout::kHeads) return s.heads * s.rows * s.cols;
  return s.rows * RowStride(s, layout) + (layout == Layout::kGaps ? kBatchGap : 0);
}

// Up to the last element: no gap follows it.
int64_t Extent(const LaidOutHeads::Shape& s, Layout layout) {
  if (s.batch * s.heads * s.rows * s.cols == 0) return 0;
  return (s.batch - 1) * BatchStride(s, layout) + (s.heads - 1) * HeadStride(s, layout) +
         (s.rows - 1) * RowStride(s, layout) + s.cols;
}

template <typename T, typename From>
void Copy(const std::vector<From>& from, const GuardedArray<T>& to) {
  std::transform(from.begin(), from.end(), to.data(), [](From value) { return static_cast<T>(value); });
}

template <typename T>
int64_t Count(const std::vector<T>& elements) {
  return static_cast<int64_t>(elements.size());
}

}  // namespace

LaidOutHeads::LaidOutHeads(const Shape& shape, Layout layout)
    : shape_(shape),
      row_stride_(RowStride(shape, layout)),
      head_stride_(HeadStride(shape, layout)),
      batch_stride_(BatchStride(shape, layout)),
      memory_(Extent(shape, layout), kCanary) {}

template <typename Visitor>
void LaidOutHeads::ForEachElement(const Visitor& visit) const {
  for (int64_t b = 0; b < shape_.batch; ++b) {
    for (int64_t h = 0; h < shape_.heads; ++h) {
      for (int64_t r = 0; r < shape_.rows; ++r) {
        for (int64_t c = 0; c < shape_.cols; ++c) {
          visit(b * batch_stride_ + h * head_stride_ + r * row_stride_ + c);
        }
      }
    }
  }
}

void LaidOutHeads::Fill(const std::vector<double>& contiguous) const {
  auto next = contiguous.begin();
  ForEachElement([&](int64_t at) { memory_[at] = static_cast<float>(*next++); });
}

std::vector<double> LaidOutHeads::Contiguous() const {
  std::vector<double> elements;
  ForEachElement([&](int64_t at) { elements.push_back(static_cast<double>(memory_[at])); });
  return elements;
}

testing::AssertionResult LaidOutHeads::OnlyElementsWritten() const {
  if (!memory_.BeforeIsUntouched()) return testing::AssertionFailure() << "something wrote before the first element";
  std::vector<bool> element(memory_.size());
  ForEachElement([&](int64_t at) { element[static_cast<size_t>(at)] = true; });
  for (size_t i = 0; i < element.size(); ++i) {
    if (!element[i] && memory_.data()[i] != kCanary)
      return testing::AssertionFailure() << "the gap at " << i << " was written";
  }
  return testing::AssertionSuccess();
}

PanelCase::PanelCase(const AttentionCase& c, Layout layout)
    : no_parameters_(c),
      query_({c.batch, c.heads, c.n, c.d}, layout),
      key_({c.batch, c.kv_heads, c.m, c.d}, layout),
      value_({c.batch, c.kv_heads, c.m, c.d_value}, layout),
      output_({c.batch, c.heads, c.n, c.d_value}, layout),
      bias_(Count(c.bias.data), 0),
      lse_(c.batch * c.heads * c.n, LaidOutHeads::kCanary),
      entropy_(c.batch * c.heads * c.n, LaidOutHeads::kCanary),
      allowed_(Count(c.allowed.data), 0),
      problem_(ProblemWithoutHeads<float>(c, no_bias_, no_parameters_)) {
  query_.Fill(c.query);
  key_.Fill(c.key);
  value_.Fill(c.value);
  Copy(c.bias.data, bias_);
  Copy(c.allowed.data, allowed_);
  problem_.query = query_.const_view();
  problem_.key = key_.const_view();
  problem_.value = value_.const_view();
  problem_.mask.bias = c.bias.View(std::vector<float>(bias_.begin(), bias_.end()));
  if (!bias_.empty()) problem_.mask.bias.data = bias_.data();
  problem_.mask.allowed = c.allowed.View(c.allowed.data);
  if (!allowed_.empty()) problem_.mask.allowed.data = allowed_.data();
}

AttentionResult<float> PanelCase::Results(Wanted wanted) const {
  AttentionResult<float> result;
  result.output = output_.view();
  if (wanted == Wanted::kRows) {
    result.lse = lse_.data();
    result.entropy = entropy_.data();
  }
  return result;
}

bool PanelCase::RunBlocks(Wanted wanted) const {
  const AttentionResult<float> result = Results(wanted);
  runtime::BufferPool pool;
  const PanelScratch scratch(pool, problem_, 1);
  bool held = true;
  for (int64_t head = 0; head < problem_.batch * problem_.heads; ++head) {
    const int64_t b = head / problem_.heads;
    const int64_t h = head % problem_.heads;
    for (int64_t first = 0; first < problem_.n; first += kPanelBlockQueries) {
      const QueryBlock block{b, h, first, std::min(kPanelBlockQueries, problem_.n - first)};
      held &= PanelBlock(problem_, block, ResultOfHead(problem_, result, b, h), scratch, 0);
    }
  }
  return held;
}

Answer PanelCase::Got() const {
  Answer got;
  got.output = output_.Contiguous();
  got.lse.assign(lse_.begin(), lse_.end());
  got.entropy.assign(entropy_.begin(), entropy_.end());
  return got;
}

testing::AssertionResult PanelCase::OnlyResultsWritten() const {
  if (!lse_.BeforeIsUntouched()) return testing::AssertionFailure() << "something wrote before lse";
  if (!entropy_.BeforeIsUntouched()) return testing::AssertionFailure() << "something wrote before entropy";
  return output_.OnlyElementsWritten();
}

AttentionCase Named(AttentionCase c, const std::string& name) {
  c.name += " " + name;
  return c;
}

std::vector<int64_t> PanelTargets() { return hwy::SupportedAndGeneratedTargets(); }

// A query's weights, and each column of its output, are summed one key after the other within a tile: a running sum of
// K positive terms is rounded K times, each time by at most epsilon / 2 of itself. At worst that is K epsilon / 2 of
// the whole. Independent and uniform roundings of a sum that grows evenly leave a standard deviation of sqrt(K) epsilon
// / 6, since their mean square is a third of the largest, as is that of the partial sums: sqrt(K) epsilon is six of
// them. Each tile adds a rounding of its own and one of its rescaling. The exponential's few roundings are in
// ToleranceFor; that of its argument x, of |x| exp(-|x|) <= 1/e, is too. An output is the quotient of two such sums, an
// entropy has the logarithm of one and the quotient of two.
Tolerance PanelTolerance(const AttentionCase& c) {
  constexpr double kEpsilon = std::numeric_limits<float>::epsilon();
  const auto keys = static_cast<double>(std::min(c.m, kPanelTileKeys));
  const auto tiles = static_cast<double>(c.m / kPanelTileKeys + 1);
  const double sum = (std::sqrt(keys) + tiles) * kEpsilon;
  double value = 0;
  for (const double v : c.value) value = std::max(value, std::fabs(v));
  Tolerance tolerance = ToleranceFor(c, kEpsilon);
  tolerance.output += 2 * sum * value;
  tolerance.lse += sum;
  tolerance.entropy += 3 * sum * 2 * std::log(static_cast<double>(c.m) + 2);
  return tolerance;
}

void ExpectPanelsAgree(const AttentionCase& c, Layout layout) {
  const PanelCase panels(c, layout);
  ASSERT_TRUE(SuitsPanels(panels.problem(), panels.Results(Wanted::kRows))) << c.name;
  ASSERT_TRUE(panels.RunBlocks(Wanted::kRows)) << c.name;
  const Answer want = Oracle(c);
  const Answer got = panels.Got();
  const Tolerance tolerance = PanelTolerance(c);
  EXPECT_TRUE(AllNear(got.output, want.output, tolerance.output)) << c.name << " output";
  EXPECT_TRUE(AllNear(got.lse, want.lse, tolerance.lse)) << c.name << " lse";
  EXPECT_TRUE(AllNear(got.entropy, want.entropy, tolerance.entropy)) << c.name << " entropy";
  ASSERT_TRUE(panels.RunBlocks(Wanted::kOutputOnly)) << c.name;
  EXPECT_EQ(panels.Got().output, got.output) << c.name << " output, wanted alone";
  EXPECT_TRUE(panels.OnlyResultsWritten()) << c.name;
}

}  // namespace attend::compute
