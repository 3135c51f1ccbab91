// One matrix and its exponentials in scratch memory, for Highway code: see entrywise-inl.h for how to include it.
#if defined(ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_SOLVER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_SOLVER_INL_H_
#undef ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_SOLVER_INL_H_
#else
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_COMPACT_SOLVER_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "hwy/highway.h"
#include "server/compute/matrix_exp/compact_exp.h"
#include "server/compute/matrix_exp/compact_growth-inl.h"
#include "server/compute/matrix_exp/compact_layout.h"
#include "server/compute/matrix_exp/compact_polynomial-inl.h"
#include "server/compute/matrix_exp/compact_product-inl.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise-inl.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/matrix_exp/short_entries.h"
#include "server/compute/matrix_exp/squaring_error.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/compute/matrix_exp/taylor_polynomial.h"

HWY_BEFORE_NAMESPACE();
namespace attend::compute {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The scratch memory is that of CompactBytes. Run returns what CompactExp returns.
template <class D>
class CompactSolver {
  using T = hn::TFromD<D>;

 public:
  CompactSolver(const CompactProblem<T>& problem, T* scratch)
      : problem_(problem), n_(problem.n), stride_(CompactStride<T>(n_)), entries_(n_ * stride_), sums_(scratch) {
    T* next = scratch + kCompactRows * stride_;
    for (T*& matrix : matrices_) {
      matrix = next;
      next += entries_;
    }
  }

  bool Run() {
    if (!Load()) return false;
    for (size_t k = 0; k < problem_.times.size(); ++k) {
      const auto offset = static_cast<int64_t>(k) * problem_.time_step;
      if (!RunTime(problem_.times[k], problem_.result + offset * n_ * n_, problem_.reports[offset])) return false;
    }
    return true;
  }

 private:
  static constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;

  // An estimate of how powers grow takes off two squarings at most.
  static constexpr int64_t kWorthEstimating = 3;
  // Estimates may be too low.
  static constexpr double kEstimateSafety = 8;

  static size_t Slot(int k) { return k == 6 ? 3 : static_cast<size_t>(k - 1); }

  // C^k for k = 1, 2, 3 and 6, C = A - shift I.
  T* power(int k) const { return matrices_[Slot(k)]; }

  double Norm(const T* a) {
    return AbsColumnSums(D(), n_, PaddedColumns(), a, stride_, static_cast<T*>(nullptr), sums_);
  }

  // Whole vectors.
  int64_t PaddedColumns() const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    return (n_ + lanes - 1) / lanes * lanes;
  }

  bool Load() {
    T* c = power(1);
    T diagonal = 0;
    for (int64_t i = 0; i < n_; ++i) {
      std::copy_n(problem_.a + i * n_, n_, c + i * stride_);
      std::fill_n(c + i * stride_ + n_, stride_ - n_, T{0});
      diagonal += c[i * stride_ + i];
    }
    norm_ = Norm(c);
    if (!(norm_ <= kModerateNorm<T>) || IsUnbalanced()) return false;
    const auto mean = static_cast<T>(ShortMean(static_cast<double>(diagonal) / static_cast<double>(n_)));
    double shifted = 0;
    for (int64_t j = 0; j < n_; ++j) {
      const T entry = c[j * stride_ + j];
      shifted = std::max(shifted, static_cast<double>(sums_[j] - std::fabs(entry) + std::fabs(entry - mean)));
    }
    norms_[0] = norm_;
    if (ShiftPays(shifted, norm_) && mean != 0) {
      shift_ = mean;
      for (int64_t i = 0; i < n_; ++i) {
        T& entry = c[i * stride_ + i];
        const DoubleDouble exact = ExactSum(static_cast<double>(entry), -static_cast<double>(mean));
        entry = static_cast<T>(exact.hi);
        const double rounding = std::fabs((exact.hi - static_cast<double>(entry)) + exact.lo);
        shift_rounding_ = std::max(shift_rounding_, rounding);
      }
      norms_[0] = shifted;
    }
    return true;
  }

  T AbsRowSum(const T* row) const {
    const D d;
    auto sum = hn::Zero(d);
    for (int64_t j = 0; j < PaddedColumns(); j += static_cast<int64_t>(hn::Lanes(d))) {
      sum = hn::Add(sum, hn::Abs(hn::Load(d, row + j)));
    }
    return hn::GetLane(hn::SumOfLanes(d, sum));
  }

  // Whether a row and its column differ enough for balancing to pay (balance.cc). sums_ are the columns'.
  bool IsUnbalanced() const {
    constexpr T kWorthwhile = 16;
    if (norm_ <= 1) return false;
    T diagonal = 0;
    for (int64_t i = 0; i < n_; ++i) diagonal = std::max(diagonal, std::fabs(power(1)[i * stride_ + i]));
    for (int64_t i = 0; i < n_; ++i) {
      const T* row = power(1) + i * stride_;
      const T rest = AbsRowSum(row) - std::fabs(row[i]);
      const T column = sums_[i] - std::fabs(row[i]);
      const T more = std::max(rest, column);
      const T less = std::min(rest, column);
      if (more > kWorthwhile * (less > 0 ? less : std::min(more, diagonal)) && (less > 0 || diagonal > 0)) return true;
    }
    return false;
  }

  // Forms power `wanted` where it is not there yet, out of two that are; counts the product.
  void Need(int wanted, MatrixExpReport& report) {
    double& norm = norms_[Slot(wanted)];
    if (norm >= 0) return;
    const int left = wanted == 6 ? 3 : wanted - 1;
    CompactProduct<false>(D(), n_, n_, stride_, power(left), power(wanted - left), power(wanted));
    norm = Norm(power(wanted));
    ++report.products;
  }

  // |C^k|_1 for k = 4, 8 and 9. What is known of the square corrects the estimates: what the vectors overlook, they
  // overlook there too.
  void NeedGrowth() {
    if (growth_[0] >= 0) return;
    CompactGrowth<D> growth(n_, stride_, sums_ + stride_);
    growth.MultiplyBy(power(2));
    const double correction = std::max(0.5, norms_[1] / growth.Norm());
    growth.MultiplyBy(power(2));
    growth_[0] = growth.Norm() * correction;
    growth.MultiplyBy(power(2));
    growth.MultiplyBy(power(2));
    growth_[1] = growth.Norm() * correction;
    growth.MultiplyBy(power(1));
    growth_[2] = growth.Norm() * correction;
  }

  // Degree 15 where it takes at most one squaring, otherwise degree 18: each squaring more doubles the error.
  TaylorPlan Plan(double log_time, MatrixExpReport& report) {
    absl::InlinedVector<PowerNorm, 5> norms;
    const auto add = [&](int k, double norm) { norms.push_back({k, std::log2(norm) + k * log_time}); };
    Need(2, report);
    add(1, norms_[0]);
    add(2, norms_[1]);
    const TaylorPlan plan = PlanTaylorOfTwoPowers<T>(norms);
    if (plan.squarings == 0) return plan;
    if (n_ > kFewRows && plan.squarings <= kWorthEstimating) {
      NeedGrowth();
      add(4, growth_[0]);
      add(8, growth_[1]);
      add(9, growth_[2]);
      TaylorPlan estimated = PlanTaylorOfTwoPowers<T>(norms);
      estimated.truncation *= kEstimateSafety;
      if (estimated.squarings <= 1) return estimated;
      norms.resize(2);
    }
    Need(3, report);
    Need(6, report);
    add(3, norms_[2]);
    add(6, norms_[3]);
    return *PlanTaylor<T>(norms);
  }

  // value_ = the polynomial at x C.
  void Evaluate(int degree, double x, MatrixExpReport& report) {
    const std::array<const T*, 4> powers = {power(1), power(2), power(3), power(6)};
    const std::array<T*, 4> spare = {matrices_[4], matrices_[5], matrices_[6], matrices_[7]};
    CompactPolynomial<D>(n_, stride_, powers, spare).Evaluate(degree, x);
    value_ = spare[0];
    spare_ = spare[1];
    report.products += degree == 2 ? 0 : degree == 4 ? 1 : degree == 15 ? 3 : 2;
  }

  bool RunTime(double time, T* result, MatrixExpReport& report) {
    report = MatrixExpReport{};
    const double scale = std::fabs(time);
    report.norm1 = norm_ * scale;
    if (!(report.norm1 <= kModerateNorm<T>)) return false;
    if (report.norm1 < std::numeric_limits<T>::min()) return false;
    if (norms_[0] == 0) return false;
    const TaylorPlan plan = Plan(std::log2(scale), report);
    if (plan.squarings > 40) return false;
    const double x = std::ldexp(time, -static_cast<int>(plan.squarings));
    Evaluate(plan.degree, x, report);
    double norm = Norm(value_);
    if (!IsModerate(norm)) return false;
    const std::array<double, 2> abs_powers = AbsPowers(plan.degree == 18, std::fabs(x));
    if (PowerCancels(n_, std::max(abs_powers[0], abs_powers[1]), norm)) return false;  // more digits there
    SquaringError error(std::log2(norm), EvaluationError(plan, std::fabs(x), norm, abs_powers));
    for (int64_t k = 0; k < plan.squarings; ++k) {
      CompactProduct<false>(D(), n_, n_, stride_, value_, value_, spare_);
      const double growth = GrowthNorm();
      std::swap(value_, spare_);
      norm = Norm(value_);
      if (!IsModerate(norm)) return false;
      error.Add(std::log2(norm), kUnit * ProductRounding(n_) * growth / norm);
    }
    report.degree = static_cast<uint32_t>(plan.degree);
    report.squarings = static_cast<uint32_t>(plan.squarings);
    report.products += report.squarings;
    report.error_bound = error.Relative();
    if (std::is_same_v<T, double> && report.error_bound > kPoorBound) return false;  // more digits there
    return Store(time, norm, result, report);
  }

  // | |X| |X| |_1 of value_, whose column sums stand in sums_.
  double GrowthNorm() {
    T* weighted = matrices_[7];  // free once the polynomial is there
    return AbsColumnSums(D(), n_, PaddedColumns(), value_, stride_, sums_, weighted);
  }

  static bool IsModerate(double norm) { return norm <= kModerateResult<T> && norm >= 1 / kModerateResult<T>; }

  double EvaluationError(const TaylorPlan& plan, double x, double norm, const std::array<double, 2>& abs_powers) const {
    const bool third = plan.degree == 18;
    const std::array<double, 3> norms = {norms_[0] * x, norms_[1] * x * x, third ? norms_[2] * x * x * x : 0};
    const std::array<double, 3> errors = PowersRounding(kUnit, n_, abs_powers[0], abs_powers[1]);
    const double magnitude = PolynomialMagnitude(plan.degree, norms);
    const double rounding = kUnit * EvaluationRounding(n_, norms[0]) * magnitude;
    return (rounding + PowersSensitivity(plan.degree, norms, errors)) / norm + kUnit * plan.truncation * norms[0] +
           shift_rounding_ * x * magnitude;
  }

  // | |x C|^k |_1 for k = 2 and, where `third`, 3; 0 where these powers are exact.
  std::array<double, 2> AbsPowers(bool third, double x) const {
    if (HasExactPowers(n_, power(1), stride_, norms_[0], third ? 3 : 2)) return {0, 0};
    T* sums = sums_ + stride_;  // of NeedGrowth, which is done
    T* next = sums + stride_;
    std::array<double, 2> norms{};
    AbsColumnSums(D(), n_, PaddedColumns(), power(1), stride_, static_cast<T*>(nullptr), sums);
    norms[0] = x * x * AbsColumnSums(D(), n_, PaddedColumns(), power(1), stride_, sums, next);
    if (third) norms[1] = x * x * x * AbsColumnSums(D(), n_, PaddedColumns(), power(1), stride_, next, sums);
    return norms;
  }

  // result = exp(time * shift) value.
  bool Store(double time, double norm, T* result, MatrixExpReport& report) {
    T factor = 1;
    if (shift_ != 0) {
      const DoubleDouble power = ExactProduct(static_cast<double>(shift_), time);
      const double wide = std::exp(power.hi) * (1 + power.lo);
      if (!IsModerate(wide) || !IsModerate(wide * norm)) return false;
      factor = static_cast<T>(wide);
      report.error_bound += 3 * kUnit;
    }
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = 0; j < n_; ++j) result[i * n_ + j] = value_[i * stride_ + j] * factor;
    }
    return true;
  }

  const CompactProblem<T>& problem_;
  const int64_t n_;
  const int64_t stride_;
  const int64_t entries_;
  T* const sums_;  // of columns, of the matrix seen last
  std::array<T*, kCompactMatrices> matrices_;
  T* value_ = nullptr;
  T* spare_ = nullptr;
  double norm_ = 0;  // |A|_1
  T shift_ = 0;
  double shift_rounding_ = 0;                    // what C is off by for it
  std::array<double, 4> norms_{-1, -1, -1, -1};  // |C^k|_1, -1 where it is not there yet
  std::array<double, 3> growth_{-1, -1, -1};     // |C^4|_1, |C^8|_1 and |C^9|_1, estimated
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif
