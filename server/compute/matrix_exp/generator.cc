#include "server/compute/matrix_exp/generator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/generator_plan.h"
#include "server/compute/matrix_exp/generator_rates.h"
#include "server/compute/matrix_exp/wide_matrix.h"
#include "server/compute/panels.h"

namespace attend::compute {
namespace {

template <typename T>
constexpr Precision PrecisionFor() {
  return std::is_same_v<T, float> ? Precision::kDouble : Precision::kDoubleDouble;
}

// (g + largest rate I) / 2^(rates.g_exponent + shift), entries >= 0.
template <typename T>
void FillShifted(const Matrix<const T>& g, const Rates& rates, int shift, const WideMatrix& shifted) {
  const int64_t n = g.rows;
  const PowerOfTwo to_unit(-rates.g_exponent);
  const PowerOfTwo scale(-shift);
  for (int64_t i = 0; i < n; ++i) {
    double* hi = shifted.hi() + i * n;
    for (int64_t j = 0; j < n; ++j) hi[j] = scale(to_unit(static_cast<double>(g.row(i)[j])));
    const DoubleDouble diagonal = scale(rates.largest + -rates.row[static_cast<size_t>(i)]);
    hi[i] = diagonal.hi;
    if constexpr (PrecisionFor<T>() == Precision::kDoubleDouble) {
      double* lo = shifted.lo() + i * n;
      std::fill_n(lo, n, 0.0);
      lo[i] = diagonal.lo;
    }
  }
}

// |g|_1 in units of 2^rates.g_exponent.
template <typename T>
absl::Status NormOne(runtime::Executor& executor, const Matrix<const T>& g, const Rates& rates, double& norm) {
  const PowerOfTwo to_unit(-rates.g_exponent);
  std::vector<double> sums(static_cast<size_t>(g.cols));
  const auto done = ForEachBand(executor, g.rows, g.cols, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) sums[static_cast<size_t>(j)] = rates.row[static_cast<size_t>(j)].hi;
    for (int64_t i = 0; i < g.rows; ++i) {
      for (int64_t j = begin; j < end; ++j) {
        if (i != j) sums[static_cast<size_t>(j)] += to_unit(static_cast<double>(g.row(i)[j]));
      }
    }
  });
  norm = sums.empty() ? 0 : *std::max_element(sums.begin(), sums.end());
  return done;
}

template <typename T>
void SetIdentity(const Matrix<T>& result) {
  for (int64_t i = 0; i < result.rows; ++i) {
    std::fill_n(result.row(i), result.cols, T{0});
    result.row(i)[i] = 1;
  }
}

// What rounding and truncation may have cost, relatively, from the operations that the result came by.
template <typename T>
double ErrorBound(int64_t n, int products, int squarings) {
  const double terms = static_cast<double>(n) + 8;
  const double rounding = std::numeric_limits<T>::epsilon() / 2;
  if (std::is_same_v<T, float>) return rounding + terms * (products + 1) * 0x1p-52;
  return rounding + 0x1p-60 + products * GeneratorChain::ProductTolerance(0) +
         std::min(1.0, std::ldexp(terms, squarings - 100));
}

template <typename T>
absl::Status MeasureResult(runtime::Executor& executor, const Matrix<T>& result, MatrixExpReport& report) {
  std::vector<double> errors(static_cast<size_t>(result.rows), 0);
  std::vector<double> least(static_cast<size_t>(result.rows), std::numeric_limits<double>::infinity());
  const auto done = ForEachPanel(executor, result.rows, result.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double& smallest = least[static_cast<size_t>(i)];
      DoubleDouble sum{-1, 0};
      for (int64_t j = 0; j < result.cols; ++j) {
        sum = sum + static_cast<double>(result.row(i)[j]);
        smallest = std::min(smallest, static_cast<double>(result.row(i)[j]));
      }
      errors[static_cast<size_t>(i)] = std::fabs(sum.hi + sum.lo);
    }
  });
  report.row_sum_error = errors.empty() ? 0 : *std::max_element(errors.begin(), errors.end());
  report.min_entry = least.empty() ? 0 : *std::min_element(least.begin(), least.end());
  return done;
}

template <typename T>
absl::Status StoreValue(runtime::Executor& executor, const WideMatrix& value, const Matrix<T>& result) {
  const int64_t n = value.n();
  return ForEachPanel(executor, n, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < n; ++j) result.row(i)[j] = static_cast<T>(value.hi()[i * n + j]);
    }
  });
}

}  // namespace

template <typename T>
struct GeneratorExps<T>::Member {
  const GeneratorExpJob<T>* job = nullptr;
  SeriesPlan plan;
  double mantissa = 0;  // of the step, the time of the chain's start: mantissa 2^exponent / 2^unit_exponent_
  int exponent = 0;
  bool has_to_settle = false;  // within plan.squarings, which stop short of the time

  auto Start() const { return std::make_tuple(plan.horizon, mantissa, exponent, plan.block, plan.blocks); }
  bool operator<(const Member& other) const {
    return std::make_tuple(Start(), plan.squarings) < std::make_tuple(other.Start(), other.plan.squarings);
  }
};

template <typename T>
GeneratorExps<T>::GeneratorExps(runtime::BufferPool& pool, const Matrix<const T>& g) : pool_(pool), g_(g) {}

template <typename T>
absl::Status GeneratorExps<T>::Prepare(runtime::Executor& executor) {
  if (prepared_) return absl::OkStatus();
  rates_ = MeasureRates(g_, 1.0);
  int shift = 0;
  std::frexp(rates_.largest.hi, &shift);
  unit_exponent_ = rates_.g_exponent + shift;
  if (auto done = NormOne(executor, g_, rates_, norm_); !done.ok()) return done;
  if (rates_.largest.hi > 0) {
    chain_.emplace(g_.rows, PrecisionFor<T>(), pool_);
    FillShifted(g_, rates_, shift, chain_->shifted());
  }
  prepared_ = true;
  return absl::OkStatus();
}

template <typename T>
typename GeneratorExps<T>::Member GeneratorExps<T>::Plan(const GeneratorExpJob<T>& job, bool may_stop_short) const {
  Member member;
  member.job = &job;
  member.mantissa = std::frexp(job.time, &member.exponent);
  const double unit = std::log2(member.mantissa) + member.exponent + rates_.g_exponent;
  int halvings = 0;
  const auto plan = [&] {
    return PlanSeries(g_.rows, unit + std::log2(rates_.largest.hi) - halvings,
                      unit + std::log2(rates_.least) - halvings, PrecisionFor<T>());
  };
  member.plan = plan();
  while (may_stop_short && member.plan.squarings > kExpectedSquarings) {
    ++halvings;
    member.plan = plan();
  }
  member.has_to_settle = halvings > 0;
  member.exponent += unit_exponent_ - halvings - member.plan.squarings;
  return member;
}

template <typename T>
absl::Status GeneratorExps<T>::RunChains(runtime::Executor& executor, std::vector<Member> members,
                                         std::vector<const GeneratorExpJob<T>*>& unsettled) {
  std::sort(members.begin(), members.end());
  for (size_t k = 0; k < members.size(); ++k) {
    const Member& member = members[k];
    MatrixExpReport& report = *member.job->report;
    if (k == 0 || members[k - 1].Start() != member.Start()) {
      const double factor = std::ldexp(member.mantissa, member.exponent);
      if (auto done = chain_->Start(executor, member.plan, factor, report.products); !done.ok()) return done;
    }
    const int before = chain_->squarings();
    if (auto done = chain_->SquareTo(executor, member.plan.squarings, report.products); !done.ok()) return done;
    report.squarings += static_cast<uint32_t>(chain_->squarings() - before);
    if (member.has_to_settle && !chain_->settled()) {
      unsettled.push_back(member.job);
      continue;
    }
    report.degree = static_cast<uint32_t>(member.plan.degree());
    const int products = member.plan.products() + chain_->squarings();
    report.error_bound = ErrorBound<T>(g_.rows, products, chain_->squarings());
    if (auto done = StoreValue(executor, chain_->value(), member.job->result); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status GeneratorExps<T>::Run(runtime::Executor& executor, const std::vector<GeneratorExpJob<T>>& jobs) {
  if (auto done = Prepare(executor); !done.ok()) return done;
  std::vector<Member> members;
  for (const GeneratorExpJob<T>& job : jobs) {
    *job.report = MatrixExpReport{};
    job.report->structure = MatrixStructure::kGenerator;
    if (job.time == 0 || !chain_) {
      SetIdentity(job.result);
      continue;
    }
    int exponent = 0;
    const double mantissa = std::frexp(job.time, &exponent);
    job.report->norm1 =
        std::min(std::ldexp(norm_ * mantissa, exponent + rates_.g_exponent), std::numeric_limits<double>::max());
    members.push_back(Plan(job, PrecisionFor<T>() == Precision::kDoubleDouble));
  }
  std::vector<const GeneratorExpJob<T>*> unsettled;
  if (auto done = RunChains(executor, std::move(members), unsettled); !done.ok()) return done;
  members.clear();
  for (const GeneratorExpJob<T>* job : unsettled) members.push_back(Plan(*job, false));
  if (auto done = RunChains(executor, std::move(members), unsettled); !done.ok()) return done;
  if (chain_) chain_->Stop();
  for (const GeneratorExpJob<T>& job : jobs) {
    if (auto done = MeasureResult(executor, job.result, *job.report); !done.ok()) return done;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status GeneratorExp(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g, double time,
                          const Matrix<T>& result, MatrixExpReport& report) {
  return GeneratorExps<T>(pool, g).Run(executor, {{time, result, &report}});
}

template class GeneratorExps<float>;
template class GeneratorExps<double>;
template absl::Status GeneratorExp(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                   const Matrix<float>&, MatrixExpReport&);
template absl::Status GeneratorExp(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                   const Matrix<double>&, MatrixExpReport&);

}  // namespace attend::compute
