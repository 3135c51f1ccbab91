#include "server/compute/matrix_exp/generator.h"

#include <algorithm>
#include <cmath>
#include <limits>
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

// (time g + largest rate I) / 2^squarings, entries >= 0.
template <typename T>
void FillShifted(const Matrix<const T>& g, const Rates& rates, int squarings, const WideMatrix& shifted) {
  const int64_t n = g.rows;
  const PowerOfTwo to_unit(-rates.g_exponent);
  const PowerOfTwo to_step(rates.exponent - squarings);
  for (int64_t i = 0; i < n; ++i) {
    double* hi = shifted.hi() + i * n;
    const DoubleDouble diagonal = to_step((rates.largest + -rates.row[static_cast<size_t>(i)]) * rates.time_mantissa);
    if constexpr (PrecisionFor<T>() == Precision::kDouble) {
      for (int64_t j = 0; j < n; ++j) hi[j] = to_step(to_unit(static_cast<double>(g.row(i)[j])) * rates.time_mantissa);
    } else {
      double* lo = shifted.lo() + i * n;
      for (int64_t j = 0; j < n; ++j) {
        const DoubleDouble entry = to_step(ExactProduct(to_unit(g.row(i)[j]), rates.time_mantissa));
        hi[j] = entry.hi;
        lo[j] = entry.lo;
      }
      lo[i] = diagonal.lo;
    }
    hi[i] = diagonal.hi;
  }
}

// What one product may change entries by, relatively, with `squarings` to come, each of which doubles it: all products
// together stay below a unit of roundoff.
double ProductTolerance(int squarings) { return std::ldexp(1.0, -59 - squarings); }

std::vector<DoubleDouble> InverseFactorials(int degree) {
  std::vector<DoubleDouble> result{{1, 0}};
  for (int k = 1; k <= degree; ++k) result.push_back(result.back() / DoubleDouble{static_cast<double>(k), 0});
  return result;
}

void SetZero(const WideMatrix& a) {
  const auto entries = static_cast<size_t>(a.n() * a.n());
  std::fill_n(a.hi(), entries, 0.0);
  if (a.precision() == Precision::kDoubleDouble) std::fill_n(a.lo(), entries, 0.0);
}

// value = sum over k <= degree of powers[0]^k / k!, rows normalized, which also takes the shift out again.
// `powers` holds the first power and gets the others; value and spare change places as products are made.
absl::Status SumSeries(runtime::Executor& executor, runtime::BufferPool& pool, const SeriesPlan& plan,
                       std::vector<WideMatrix>& powers, PairAccuracy& accuracy, WideMatrix& value, WideMatrix& spare) {
  const int64_t n = value.n();
  for (int k = 2; k <= plan.block; ++k) {
    powers.emplace_back(n, value.precision(), pool);
    const auto last = powers.size() - 1;
    if (auto done = Multiply(executor, pool, powers[last - 1], powers[0], powers[last], accuracy); !done.ok()) {
      return done;
    }
  }
  const std::vector<DoubleDouble> inverse_factorials = InverseFactorials(plan.degree());
  SetZero(value);
  for (int part = plan.blocks - 1; part >= 0; --part) {
    const bool highest = part == plan.blocks - 1;
    if (!highest) {
      if (auto done = Multiply(executor, pool, value, powers.back(), spare, accuracy); !done.ok()) return done;
      std::swap(value, spare);
    }
    const auto begin = inverse_factorials.begin() + part * plan.block;
    const std::vector<DoubleDouble> coefficients(begin, begin + plan.block + (highest ? 1 : 0));
    if (auto done = AddPolynomial(executor, coefficients, powers, value); !done.ok()) return done;
  }
  return NormalizeRows(executor, value);
}

// Squares `value` up to `squarings` times; stops where squaring changes nothing any more, which makes it `settled`.
// `done_squarings` counts.
absl::Status Square(runtime::Executor& executor, runtime::BufferPool& pool, int squarings, PairAccuracy& accuracy,
                    WideMatrix& value, WideMatrix& spare, uint32_t& done_squarings, bool& settled) {
  const double unchanged = value.precision() == Precision::kDouble ? 0x1p-44 : 0x1p-70;
  for (int k = 0; k < squarings; ++k) {
    accuracy.tolerance = ProductTolerance(squarings - k - 1);
    if (auto done = Multiply(executor, pool, value, value, spare, accuracy); !done.ok()) return done;
    if (auto done = NormalizeRows(executor, spare); !done.ok()) return done;
    std::swap(value, spare);
    ++done_squarings;
    settled = Agree(spare, value, unchanged);
    if (settled) break;
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status NormOne(runtime::Executor& executor, const Matrix<const T>& g, double time, const Rates& rates,
                     double& norm) {
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
  double largest = 0;
  for (double sum : sums) largest = std::max(largest, sum);
  norm = std::min(std::ldexp(largest * rates.time_mantissa, rates.exponent), std::numeric_limits<double>::max());
  return done;
}

template <typename T>
void SetIdentity(const Matrix<T>& result) {
  for (int64_t i = 0; i < result.rows; ++i) {
    std::fill_n(result.row(i), result.cols, T{0});
    result.row(i)[i] = 1;
  }
}

// What rounding and truncation may have cost, relatively, from the operations spent.
template <typename T>
double ErrorBound(int64_t n, const MatrixExpReport& report) {
  const double terms = static_cast<double>(n) + 8;
  const double rounding = std::numeric_limits<T>::epsilon() / 2;
  if (std::is_same_v<T, float>) return rounding + terms * (report.products + 1) * 0x1p-52;
  return rounding + 0x1p-60 + report.products * ProductTolerance(0) +
         std::min(1.0, std::ldexp(terms, static_cast<int>(report.squarings) - 100));
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

double Log2(DoubleDouble a) { return std::log2(a.hi); }

// The series at 1 / 2^plan.squarings and `squarings` squarings, each product as accurate as these need. `settled`: as
// many more would change nothing.
template <typename T>
absl::Status SumAndSquare(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                          const Rates& rates, const SeriesPlan& plan, int squarings, WideMatrix& value,
                          WideMatrix& spare, MatrixExpReport& report, bool& settled) {
  std::vector<WideMatrix> powers;
  powers.emplace_back(g.rows, value.precision(), pool);
  FillShifted(g, rates, plan.squarings, powers[0]);
  PairAccuracy accuracy{.tolerance = ProductTolerance(squarings)};
  if (auto done = SumSeries(executor, pool, plan, powers, accuracy, value, spare); !done.ok()) return done;
  powers.clear();
  report.products += static_cast<uint32_t>(plan.products());
  report.squarings = 0;
  if (auto done = Square(executor, pool, squarings, accuracy, value, spare, report.squarings, settled); !done.ok()) {
    return done;
  }
  report.products += report.squarings;
  return absl::OkStatus();
}

template <typename T>
absl::Status ScaleSumSquare(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g,
                            const Rates& rates, const Matrix<T>& result, MatrixExpReport& report) {
  // Most chains settle within as many squarings, whatever the norm; products need not be accurate enough for more,
  // then.
  constexpr int kExpectedSquarings = 14;
  const int64_t n = g.rows;
  constexpr Precision kPrecision = PrecisionFor<T>();
  const double unit = std::log2(rates.time_mantissa) + rates.exponent;
  const SeriesPlan plan = PlanSeries(n, unit + Log2(rates.largest), unit + std::log2(rates.least), kPrecision);
  WideMatrix value(n, kPrecision, pool);
  WideMatrix spare(n, kPrecision, pool);
  const bool may_settle = kPrecision == Precision::kDoubleDouble && plan.squarings > kExpectedSquarings;
  bool settled = false;
  for (int squarings : {may_settle ? kExpectedSquarings : plan.squarings, plan.squarings}) {
    absl::Status done = SumAndSquare(executor, pool, g, rates, plan, squarings, value, spare, report, settled);
    if (!done.ok()) return done;
    if (settled || squarings == plan.squarings) break;
  }
  report.degree = static_cast<uint32_t>(plan.degree());
  return ForEachPanel(executor, n, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < n; ++j) result.row(i)[j] = static_cast<T>(value.hi()[i * n + j]);
    }
  });
}

}  // namespace

template <typename T>
absl::Status GeneratorExp(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const T>& g, double time,
                          const Matrix<T>& result, MatrixExpReport& report) {
  report = MatrixExpReport{};
  report.structure = MatrixStructure::kGenerator;
  const Rates rates = MeasureRates(g, time);
  if (time == 0 || rates.largest.hi == 0) {
    SetIdentity(result);
  } else {
    if (auto done = NormOne(executor, g, time, rates, report.norm1); !done.ok()) return done;
    if (auto done = ScaleSumSquare(executor, pool, g, rates, result, report); !done.ok()) return done;
    report.error_bound = ErrorBound<T>(g.rows, report);
  }
  return MeasureResult(executor, result, report);
}

template absl::Status GeneratorExp(runtime::Executor&, runtime::BufferPool&, const Matrix<const float>&, double,
                                   const Matrix<float>&, MatrixExpReport&);
template absl::Status GeneratorExp(runtime::Executor&, runtime::BufferPool&, const Matrix<const double>&, double,
                                   const Matrix<double>&, MatrixExpReport&);

}  // namespace attend::compute
