#include "server/compute/matrix_exp/triangular.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/scalar_exp.h"
#include "server/compute/matrix_exp/structure.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Degree 16: Horner over 4 blocks of 4 powers; theta as in taylor_plan.cc.
constexpr int kBlocks = 4;
constexpr double kTheta = 7.8028742566265743e-1;
constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;
constexpr double kMostLogNorm = 100;  // of a scaled power: far from overflow

// |D^-1 m D|_1
double GradedNorm(const Matrix<double>& m, const std::vector<double>& d) {
  std::vector<double> sums(d.size(), 0);
  for (int64_t i = 0; i < m.rows; ++i) {
    const double inverse = 1 / d[static_cast<size_t>(i)];
    for (int64_t j = i; j < m.cols; ++j) sums[static_cast<size_t>(j)] += std::fabs(m.row(i)[j]) * inverse;
  }
  double largest = 0;
  for (size_t j = 0; j < d.size(); ++j) largest = std::max(largest, sums[j] * d[j]);
  return largest;
}

// What |X|_1 is at most of |D^-1 X D|_1 for an upper triangular X.
double Spread(const std::vector<double>& d) {
  double before = 0;
  double spread = 0;
  for (double each : d) {
    before = std::max(before, each);
    spread = std::max(spread, before / each);
  }
  return spread;
}

}  // namespace

template <typename T>
Triangular<T>::Triangular(runtime::BufferPool& pool, const Matrix<const T>& a)
    : n_(a.rows), lower_(NotUpper(a).has_value()), value_(n_, n_, pool), spare_(n_, n_, pool) {
  for (Dense& power : powers_) power = Dense(n_, n_, pool);
  const Matrix<double> c = powers_[0].view();
  exponent_ = LoadScaled(a, c);
  if (lower_) {
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = 0; j < i; ++j) std::swap(c.row(i)[j], c.row(j)[i]);
    }
  }
  for (int64_t i = 0; i < n_; ++i) {
    diagonal_.push_back(static_cast<double>(a.row(i)[i]));
    if (i + 1 < n_) beside_.push_back(static_cast<double>(lower_ ? a.row(i + 1)[i] : a.row(i)[i + 1]));
  }
  for (const Matrix<double>& matrix :
       {powers_[1].view(), powers_[2].view(), powers_[3].view(), value_.view(), spare_.view()}) {
    SetZero(matrix);
  }
}

template <typename T>
absl::Status Triangular<T>::Product(runtime::Executor& executor, const Dense& a, const Dense& b,
                                    const Dense& to) const {
  // Row blocks that leave the zeros before them out: a third of a full product.
  constexpr int64_t kRows = 64;
  for (int64_t begin = 0; begin < n_; begin += kRows) {
    const int64_t rows = std::min(kRows, n_ - begin);
    const int64_t rest = n_ - begin;
    const auto corner = [&](const Dense& m, int64_t count) {
      return Matrix<double>(m.view().row(begin) + begin, count, rest, n_);
    };
    if (auto done = ParallelGemm(executor, 1.0, corner(a, rows), corner(b, rest), 0.0, corner(to, rows)); !done.ok()) {
      return done;
    }
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status Triangular<T>::FormPowers(runtime::Executor& executor) {
  for (int k = 1; k < kPowers; ++k) {
    if (auto done = Product(executor, powers_[k - 1], powers_[0], powers_[k]); !done.ok()) return done;
  }
  for (int k = 0; k < kPowers; ++k) log_norms_[k] = std::log2(NormOne(AsConst(powers_[k].view())));
  has_powers_ = true;
  return absl::OkStatus();
}

// log2 of the norm of the k-th power, or the bound that the first powers give. k in 1 .. 16.
template <typename T>
double Triangular<T>::LogNorm(const LogNorms& log_norms, int k, double log2_scale) {
  double log_norm = 0;
  for (; k > kPowers; k -= kPowers) log_norm += log_norms[kPowers - 1] + kPowers * log2_scale;
  return log_norm + log_norms[k - 1] + k * log2_scale;
}

template <typename T>
typename Triangular<T>::Step Triangular<T>::PlanStep(double time) const {
  Step step;
  step.log2_scale = std::log2(std::fabs(time)) + exponent_;
  const auto log_norm = [&](int k) { return LogNorm(k, step.log2_scale); };
  const double fifth = std::min(log_norm(4) + log_norm(1), log_norm(3) + log_norm(2));
  double alpha = std::min(log_norm(1), std::max(log_norm(2) / 2, log_norm(3) / 3));
  alpha = std::min({alpha, std::max(log_norm(3) / 3, log_norm(4) / 4), std::max(log_norm(4) / 4, fifth / 5)});
  double squarings = std::max(0.0, std::ceil(alpha - std::log2(kTheta)));
  for (int k = 1; k <= kPowers; ++k) squarings = std::max(squarings, std::ceil((log_norm(k) - kMostLogNorm) / k));
  step.squarings = static_cast<int64_t>(squarings);
  return step;
}

// What C^k is multiplied with to be the k-th power of the step's matrix.
template <typename T>
double Triangular<T>::Coefficient(double time, const Step& step, int k) const {
  if (std::isinf(log_norms_[k - 1])) return 0;
  int time_exponent = 0;
  const double mantissa = std::frexp(time, &time_exponent);
  const int64_t exponent = k * (time_exponent + exponent_ - step.squarings);
  return std::ldexp(std::pow(mantissa, k), static_cast<int>(std::clamp<int64_t>(exponent, -10000, 10000)));
}

template <typename T>
absl::Status Triangular<T>::Evaluate(runtime::Executor& executor, double time, const Step& step) {
  std::array<double, kPowers + 1> coefficients{1};
  for (int k = 1; k <= kPowers; ++k) coefficients[k] = Coefficient(time, step, k);
  std::array<double, kPowers * kBlocks + 1> inverse_factorials{1};
  for (int k = 1; k <= kPowers * kBlocks; ++k) inverse_factorials[k] = inverse_factorials[k - 1] / k;
  for (int part = kBlocks - 1; part >= 0; --part) {
    const bool highest = part == kBlocks - 1;
    SetZero(spare_.view());
    if (!highest) {
      if (auto done = Product(executor, value_, powers_[kPowers - 1], spare_); !done.ok()) return done;
    }
    const double carry = highest ? 0 : coefficients[kPowers];
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = i; j < n_; ++j) {
        double sum = carry * spare_.view().row(i)[j];
        for (int k = 1; k < kPowers + (highest ? 1 : 0); ++k) {
          sum += coefficients[k] * inverse_factorials[part * kPowers + k] * powers_[k - 1].view().row(i)[j];
        }
        spare_.view().row(i)[j] = sum;
      }
      spare_.view().row(i)[i] += inverse_factorials[part * kPowers];
    }
    std::swap(value_, spare_);
  }
  return absl::OkStatus();
}

// The polynomial's error relative to its norm: rounding, with the norms of the powers in place of cancelled terms; and
// the truncation, a relative change of the step's matrix by one unit.
template <typename T>
typename Triangular<T>::ErrorTrack Triangular<T>::StartTrack(const Step& step, std::vector<double> d) const {
  LogNorms log_norms;
  for (int k = 0; k < kPowers; ++k) log_norms[k] = std::log2(GradedNorm(powers_[k].view(), d));
  const double log2_scale = step.log2_scale - static_cast<double>(step.squarings);
  double sum = 1;
  double inverse_factorial = 1;
  for (int k = 1; k <= kPowers * kBlocks; ++k) {
    inverse_factorial /= k;
    sum += inverse_factorial * std::exp2(LogNorm(log_norms, k, log2_scale));
  }
  const double terms = 4 + std::sqrt(static_cast<double>(n_)) + 2 * std::exp2(LogNorm(log_norms, 1, log2_scale));
  const double norm = GradedNorm(value_.view(), d);
  return {std::move(d), norm, kUnit * (2 + terms * sum / norm)};
}

// |Y^2 computed - exp| <= 2 |Y| |error of Y| + rounding |Y|^2.
template <typename T>
void Triangular<T>::FollowSquare(double norm, int64_t n, ErrorTrack& track) {
  const double terms = 4 + std::sqrt(static_cast<double>(n));
  track.error = std::min(1e300, (2 * track.error + kUnit * terms) * (track.norm / norm) * track.norm);
  track.norm = norm;
}

// The D that brings the entries beside the diagonal down to its size (or that of 1 / time).
template <typename T>
std::vector<double> Triangular<T>::Grading(double time) const {
  const Matrix<double> c = powers_[0].view();
  double size = std::exp2(-std::log2(std::fabs(time)) - exponent_);
  for (int64_t i = 0; i < n_; ++i) size = std::max(size, std::fabs(c.row(i)[i]));
  std::vector<double> d(static_cast<size_t>(n_), 1);
  for (int64_t j = 1; j < n_; ++j) {
    double& here = d[static_cast<size_t>(j)];
    here = d[static_cast<size_t>(j - 1)];
    for (int64_t i = 0; i < j; ++i) {
      const double entry = std::fabs(c.row(i)[j]);
      if (entry > 0) here = std::min(here, d[static_cast<size_t>(i)] * (size / entry));
    }
  }
  return d;
}

template <typename T>
void Triangular<T>::RestoreDiagonals(long double time) {
  const Matrix<double> value = value_.view();
  for (int64_t i = 0; i < n_; ++i) {
    const long double here = time * diagonal_[static_cast<size_t>(i)];
    value.row(i)[i] = compute::Exp(here);
    if (i + 1 == n_) break;
    const double beside = beside_[static_cast<size_t>(i)];
    if (beside == 0) continue;
    const long double next = time * diagonal_[static_cast<size_t>(i + 1)];
    const long double factor = time * beside;
    value.row(i)[i + 1] = static_cast<double>(factor * ExpDividedDifference(here, next));
  }
}

template <typename T>
absl::StatusOr<bool> Triangular<T>::Exp(runtime::Executor& executor, double time, const Matrix<T>& result,
                                        MatrixExpReport& report) {
  if (!has_powers_) {
    if (auto done = FormPowers(executor); !done.ok()) return done;
    report.products += kPowers - 1;
  }
  const Step step = PlanStep(time);
  if (auto done = Evaluate(executor, time, step); !done.ok()) return done;
  long double step_time = std::ldexp(static_cast<long double>(time), -static_cast<int>(step.squarings));
  RestoreDiagonals(step_time);
  ErrorTrack plain = StartTrack(step, std::vector<double>(static_cast<size_t>(n_), 1));
  ErrorTrack graded = StartTrack(step, Grading(time));
  for (int64_t k = 0; k < step.squarings && plain.norm > 0 && std::isfinite(plain.norm); ++k) {
    if (auto done = Product(executor, value_, value_, spare_); !done.ok()) return done;
    std::swap(value_, spare_);
    step_time *= 2;
    RestoreDiagonals(step_time);
    FollowSquare(GradedNorm(value_.view(), plain.d), n_, plain);
    FollowSquare(GradedNorm(value_.view(), graded.d), n_, graded);
    ++report.squarings;
  }
  const double norm = plain.norm;
  if (!std::isfinite(norm)) return false;
  report.structure = MatrixStructure::kTriangular;
  report.degree = kPowers * kBlocks;
  report.products += kBlocks - 1 + report.squarings;
  if (lower_) {
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = 0; j < i; ++j) std::swap(value_.view().row(i)[j], value_.view().row(j)[i]);
    }
  }
  const bool fits = Store(value_.view(), 0, result);
  if (lower_) {  // the lower half must be zero for the next time
    for (int64_t i = 0; i < n_; ++i) std::fill_n(value_.view().row(i), i, 0.0);
  }
  const double graded_error = graded.error * graded.norm * Spread(graded.d) / norm;
  // A grading beyond the range of double says nothing.
  const double error = graded_error >= 0 ? std::min(plain.error, graded_error) : plain.error;
  report.error_bound = norm == 0 ? 1 : error + std::numeric_limits<T>::epsilon() / 2;
  return fits;
}

template class Triangular<float>;
template class Triangular<double>;

}  // namespace attend::compute
