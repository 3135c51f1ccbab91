#include "server/compute/matrix_exp/taylor_action.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;

// theta_m for double: Higham 2008, Functions of Matrices, Table A.3, and Al-Mohy and Higham 2011, Table 3.1.
struct Degree {
  int degree;
  double theta;
};
constexpr Degree kDegrees[] = {{2, 2.58e-8},  {3, 1.39e-5},  {4, 3.40e-4},  {5, 2.40e-3},  {6, 9.07e-3},  {7, 2.38e-2},
                               {8, 5.00e-2},  {9, 8.96e-2},  {10, 1.44e-1}, {11, 2.14e-1}, {12, 3.00e-1}, {13, 4.00e-1},
                               {14, 5.14e-1}, {15, 6.41e-1}, {16, 7.81e-1}, {17, 9.31e-1}, {18, 1.09},    {19, 1.26},
                               {20, 1.44},    {21, 1.62},    {22, 1.82},    {23, 2.01},    {24, 2.22},    {25, 2.43},
                               {26, 2.64},    {27, 2.86},    {28, 3.08},    {29, 3.31},    {30, 3.54},    {35, 4.7},
                               {40, 6.0},     {45, 7.2},     {50, 8.5},     {55, 9.9}};
constexpr int kMostTerms = 90;
// A term this many times the result costs 7 bits of it: the step is halved.
constexpr double kMostCancellation = 128;
// Beyond these it is accepted: steps cannot help against what cancels between them.
constexpr int kMostHalvings = 6;

// The largest |entry| of each column of a [n, p].
void ColumnMaxima(const Matrix<double>& a, std::vector<double>& maxima) {
  std::fill(maxima.begin(), maxima.end(), 0.0);
  for (int64_t i = 0; i < a.rows; ++i) {
    const double* row = a.row(i);
    for (int64_t j = 0; j < a.cols; ++j) {
      maxima[static_cast<size_t>(j)] = std::max(maxima[static_cast<size_t>(j)], std::fabs(row[j]));
    }
  }
}

// sums[j] += factor times the sum over i of weights[i] |a_ij|.
void AddAbs(const Matrix<double>& a, const std::vector<double>& weights, double factor, std::vector<double>& sums) {
  for (int64_t i = 0; i < a.rows; ++i) {
    const double weight = factor * weights[static_cast<size_t>(i)];
    for (int64_t j = 0; j < a.cols; ++j) sums[static_cast<size_t>(j)] += weight * std::fabs(a.row(i)[j]);
  }
}

// Whether powers of C fall so far short of its norm that products with it round to more than terms show; then its
// column sums. Terms of matrices whose entries follow no pattern reach this norm themselves.
std::vector<double> WeightsFor(const Matrix<double>& c, double norm) {
  constexpr double kFarLonger = 16;
  if (norm <= kFarLonger * std::sqrt(static_cast<double>(c.rows))) return {};
  std::vector<double> sums(static_cast<size_t>(c.cols), 0);
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(c.row(i)[j]);
  }
  return sums;
}

// One step's Taylor polynomial in the making.
class Polynomial {
 public:
  Polynomial(runtime::BufferPool& pool, int64_t n, int64_t p)
      : term_(n, p, pool),
        next_(n, p, pool),
        sum_(n, p, pool),
        term_norms_(static_cast<size_t>(p)),
        before_(static_cast<size_t>(p)),
        sum_norms_(static_cast<size_t>(p)),
        peaks_(static_cast<size_t>(p)) {}

  // sum = exp(scale c) f. Ends where two terms in a row do not count, or where it cannot. `weights`: the column sums of
  // |c|, for products that are to be measured; may be empty.
  absl::Status Evaluate(runtime::Executor& executor, double scale, const Operand<double>& c, const Dense& f,
                        const std::vector<double>& weights) {
    product_rounding_.assign(weights.empty() ? 0 : peaks_.size(), 0);
    std::copy_n(f.data(), f.size(), term_.data());
    std::copy_n(f.data(), f.size(), sum_.data());
    ColumnMaxima(sum_.view(), peaks_);
    term_norms_ = peaks_;
    converged_ = false;
    for (degree_ = 1; degree_ <= kMostTerms && !converged_; ++degree_) {
      if (!weights.empty()) AddAbs(term_.view(), weights, std::fabs(scale) / degree_, product_rounding_);
      if (auto done = ParallelGemm(executor, scale / degree_, c, term_.view(), 0.0, next_.view()); !done.ok()) {
        return done;
      }
      std::swap(term_, next_);
      for (int64_t i = 0; i < sum_.size(); ++i) sum_.data()[i] += term_.data()[i];
      std::swap(before_, term_norms_);
      ColumnMaxima(term_.view(), term_norms_);
      ColumnMaxima(sum_.view(), sum_norms_);
      converged_ = true;
      for (size_t j = 0; j < peaks_.size(); ++j) {
        peaks_[j] = std::max(peaks_[j], term_norms_[j]);
        const double negligible = kUnit * std::max(sum_norms_[j], kUnit * peaks_[j]);
        if (before_[j] + term_norms_[j] > negligible || !std::isfinite(peaks_[j])) converged_ = false;
      }
    }
    --degree_;
    return absl::OkStatus();
  }

  // How many times the result a term was.
  double Cancellation() const {
    double worst = 1;
    for (size_t j = 0; j < peaks_.size(); ++j) {
      if (peaks_[j] == 0) continue;
      const double ratio = peaks_[j] / sum_norms_[j];
      worst = std::max(worst, std::isfinite(ratio) ? ratio : kInfinity);
    }
    return worst;
  }

  // What the products add up to with moduli, over the result; 0 where they were not measured.
  double ProductRounding() const {
    std::vector<double> sums(peaks_.size(), 0);
    AddAbs(sum_.view(), std::vector<double>(static_cast<size_t>(sum_.rows()), 1), 1, sums);
    double worst = 0;
    for (size_t j = 0; j < product_rounding_.size(); ++j) {
      if (product_rounding_[j] > 0) worst = std::max(worst, product_rounding_[j] / sums[j]);
    }
    return std::min(worst, 1e300);
  }

  int degree() const { return degree_; }
  bool converged() const { return converged_; }
  Dense& sum() { return sum_; }

 private:
  Dense term_;
  Dense next_;
  Dense sum_;
  std::vector<double> term_norms_, before_, sum_norms_, peaks_;  // by column
  std::vector<double> product_rounding_;                         // by column, or empty
  int degree_ = 0;
  bool converged_ = false;
};

// Two columns of the largest norm, and two of signs that follow no pattern: [n, 4].
void FillProbes(const Matrix<double>& c, const Matrix<double>& probes) {
  SetZero(probes);
  std::vector<double> sums(static_cast<size_t>(c.cols), 0);
  for (int64_t i = 0; i < c.rows; ++i) {
    for (int64_t j = 0; j < c.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(c.row(i)[j]);
  }
  for (int64_t probe = 0; probe < 2; ++probe) {
    const auto largest = std::max_element(sums.begin(), sums.end());
    probes.row(largest - sums.begin())[probe] = 1;
    *largest = -1;
  }
  uint64_t state = 0x9e3779b97f4a7c15;
  for (int64_t i = 0; i < probes.rows; ++i) {
    for (int64_t probe = 2; probe < 4; ++probe) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      probes.row(i)[probe] = ((state >> 33 & 1) != 0 ? 1.0 : -1.0) / static_cast<double>(probes.rows);
    }
  }
}

}  // namespace

absl::Status TaylorAction::EstimateNorms(runtime::Executor& executor) {
  if (has_estimates_) return absl::OkStatus();
  const Matrix<double> c = a_.c().view();
  Dense probes(c.rows, 4, pool_);
  Dense next(c.rows, 4, pool_);
  FillProbes(c, probes.view());
  for (size_t k = 1; k <= kEstimated; ++k) {
    if (auto done = ParallelGemm(executor, 1.0, c, probes.view(), 0.0, next.view()); !done.ok()) return done;
    std::swap(probes, next);
    log_norms_[k] = std::log2(NormOne(AsConst(probes.view())));
  }
  log_norms_[1] = std::log2(a_.norm());
  has_estimates_ = true;
  return absl::OkStatus();
}

// log2 of max(|C^p|^(1/p), |C^(p+1)|^(1/(p+1))); of |C| for p = 1.
double TaylorAction::LogAlpha(int p) const {
  if (p == 1) return std::log2(a_.norm());
  const auto k = static_cast<size_t>(p);
  return std::max(log_norms_[k] / p, log_norms_[k + 1] / (p + 1));
}

ActionPlan TaylorAction::Plan(double time) const {
  const double log_scale = a_.LogNorm(time) - std::log2(a_.norm());
  if (a_.norm() == 0 || time == 0) return {};
  ActionPlan best{0, kInfinity};
  for (int p = 1; p <= (has_estimates_ ? kEstimated - 1 : 1); ++p) {
    for (const Degree& each : kDegrees) {
      if (p > 1 && each.degree < p * (p - 1) - 1) continue;
      const double steps = std::max(1.0, std::ceil(std::exp2(LogAlpha(p) + log_scale) / each.theta));
      if (best.degree == 0 || each.degree * steps < best.products()) best = {each.degree, steps};
    }
  }
  return best;
}

absl::Status TaylorAction::Run(runtime::Executor& executor, double time, bool transposed, ScaledColumns& f,
                               ActionReport& report, Recording* recording) const {
  const int64_t n = f.values.rows();
  const int64_t p = f.values.cols();
  if (a_.norm() == 0 || time == 0 || p == 0) return absl::OkStatus();
  const Operand<double> c = transposed ? Transposed(Operand<double>(a_.c().view())) : Operand<double>(a_.c().view());
  Polynomial polynomial(pool_, n, p);
  double steps_left = std::max(1.0, Plan(time).steps);
  auto scale = static_cast<double>(a_.Unit() * time / steps_left);
  int halvings = 0;
  const std::vector<double> weights =
      transposed ? std::vector<double>() : WeightsFor(a_.c().view(), std::fabs(scale) * a_.norm());
  while (steps_left > 0) {
    if (auto done = polynomial.Evaluate(executor, scale, c, f.values, weights); !done.ok()) return done;
    report.products += polynomial.degree();
    const bool cancels = polynomial.Cancellation() > kMostCancellation && halvings < kMostHalvings;
    if (!polynomial.converged() || cancels) {
      ++halvings;
      steps_left *= 2;
      scale /= 2;
      continue;
    }
    if (recording != nullptr) {
      recording->complete = recording->steps.size() < recording->most_steps;
      if (!recording->complete) return absl::OkStatus();
      const auto step_time = static_cast<double>(scale / a_.Unit());
      Step& step =
          recording->steps.emplace_back(Step{ScaledColumns(n, p, pool_), step_time, scale, polynomial.degree()});
      std::swap(step.begin, f);
      f.exponents = step.begin.exponents;
    }
    if (!weights.empty()) report.product_rounding += polynomial.ProductRounding();
    std::swap(f.values, polynomial.sum());
    f.Normalize();
    report.degree = std::max(report.degree, polynomial.degree());
    ++report.steps;
    report.rounding += std::min(polynomial.Cancellation(), 1e300);
    steps_left -= 1;
  }
  return absl::OkStatus();
}

double TaylorActionBytes(int64_t n, int64_t p) {
  const auto size = static_cast<double>(n);
  return 8 * (size * size + 5 * size * static_cast<double>(p) + 8 * size);
}

}  // namespace attend::compute
