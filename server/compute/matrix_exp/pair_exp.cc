#include "server/compute/matrix_exp/pair_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/squaring_error.h"
#include "server/compute/matrix_exp/wide_matrix.h"

namespace attend::compute {
namespace {

constexpr int kBlock = 5;
constexpr int kBlocks = 6;
constexpr uint32_t kPlainProducts = 12;  // that a product of pairs takes as long as

// One exponential in the making.
class PairSeries {
 public:
  PairSeries(runtime::Executor& executor, runtime::BufferPool& pool, int64_t n)
      : executor_(executor), pool_(pool), n_(n), value_(New()), spare_(New()), sums_(2 * static_cast<size_t>(n)) {}

  // The polynomial at time * a / 2^squarings.
  absl::Status Evaluate(const Matrix<const double>& a, double time, int squarings) {
    std::vector<WideMatrix> powers;
    powers.push_back(New());
    const PowerOfTwo to_step(-squarings);
    for (int64_t i = 0; i < n_ * n_; ++i) {
      const DoubleDouble entry = to_step(ExactProduct(a.row(i / n_)[i % n_], time));
      powers[0].hi()[i] = entry.hi;
      powers[0].lo()[i] = entry.lo;
    }
    for (size_t k = 1; k < kBlock; ++k) {
      powers.push_back(New());
      if (auto done = Times(powers[0], powers[k - 1], powers[k]); !done.ok()) return done;
    }
    std::vector<DoubleDouble> inverse_factorials{{1, 0}};
    for (int k = 1; k < kBlock * kBlocks; ++k) {
      inverse_factorials.push_back(inverse_factorials.back() / DoubleDouble{static_cast<double>(k), 0});
    }
    std::fill_n(value_.hi(), n_ * n_, 0.0);
    std::fill_n(value_.lo(), n_ * n_, 0.0);
    for (int block = kBlocks - 1; block >= 0; --block) {
      if (block < kBlocks - 1) {
        if (auto done = Times(value_, powers.back(), spare_); !done.ok()) return done;
        std::swap(value_, spare_);
      }
      const auto first = inverse_factorials.begin() + block * kBlock;
      const std::vector<DoubleDouble> coefficients(first, first + kBlock);
      if (auto done = AddPolynomial(executor_, coefficients, powers, value_); !done.ok()) return done;
    }
    return absl::OkStatus();
  }

  absl::Status Square() {
    if (auto done = Times(value_, value_, spare_); !done.ok()) return done;
    std::swap(value_, spare_);
    return absl::OkStatus();
  }

  // |X|_1, and | |X| |X| |_1: what the next square rounds by.
  absl::Status Measure(double& norm, double& growth) {
    const Matrix<const double> x(value_.hi(), n_, n_);
    if (auto done = AbsColumnSums(executor_, x, nullptr, sums_.data(), norm); !done.ok()) return done;
    return AbsColumnSums(executor_, x, sums_.data(), sums_.data() + n_, growth);
  }

  const double* value() const { return value_.hi(); }
  uint32_t products() const { return products_; }

 private:
  WideMatrix New() const { return WideMatrix(n_, Precision::kDoubleDouble, pool_); }

  absl::Status Times(const WideMatrix& a, const WideMatrix& b, const WideMatrix& c) {
    PairAccuracy all;  // no tolerance
    products_ += kPlainProducts;
    return Multiply(executor_, pool_, a, b, c, all);
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  const int64_t n_;
  WideMatrix value_;
  WideMatrix spare_;
  std::vector<double> sums_;  // of columns, and room for as many
  uint32_t products_ = 0;
};

// Products of pairs keep their digits between these.
bool IsModerate(double norm) { return norm > 1e-180 && norm < 1e280; }

}  // namespace

absl::StatusOr<bool> PairExp(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<const double>& a,
                             double time, const Matrix<double>& result, MatrixExpReport& report) {
  const int64_t n = a.rows;
  const double norm1 = NormOne(a) * std::fabs(time);
  if (!(norm1 < 0x1p60) || norm1 < 1e-100) return false;
  const int squarings = std::max(0, std::ilogb(norm1) + 2);
  PairSeries series(executor, pool, n);
  if (auto done = series.Evaluate(a, time, squarings); !done.ok()) return done;
  // Units of | |X| |X| |_1 that sums of n products of pairs round to, some 2^-104 each.
  const double unit = 0x1p-102 * (1 + static_cast<double>(n));
  double norm = 0, growth = 0;
  if (auto done = series.Measure(norm, growth); !done.ok()) return done;
  constexpr double kTerms = 30;
  SquaringError error(std::log2(norm), kTerms * unit);
  for (int k = 0; k < squarings; ++k) {
    const double rounding = growth;
    if (auto done = series.Square(); !done.ok()) return done;
    if (auto done = series.Measure(norm, growth); !done.ok()) return done;
    if (!IsModerate(norm)) return false;
    error.Add(std::log2(norm), std::min(1e300, unit * rounding / norm));
  }
  std::copy_n(series.value(), n * n, result.data);
  report = MatrixExpReport{};
  report.norm1 = norm1;
  report.degree = kBlock * kBlocks - 1;
  report.squarings = static_cast<uint32_t>(squarings);
  report.products = series.products();
  report.error_bound = std::min(1e300, error.Relative() + std::numeric_limits<double>::epsilon() / 2);
  return true;
}

}  // namespace attend::compute
