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
#include "server/compute/matrix_exp/compact_load-inl.h"
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
      : problem_(problem),
        n_(problem.n),
        stride_(CompactStride<T>(n_)),
        sums_(scratch),
        own_sums_(sums_ + stride_),
        rows_(own_sums_ + stride_) {
    T* next = scratch + kCompactRows * stride_;
    for (T*& matrix : matrices_) {
      matrix = next;
      next += n_ * stride_ + kCompactGap<T>;
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

  // Memory of matrices that are not kept from one time to the next.
  std::array<T*, CompactPolynomial<D>::kSpare> spare() const {
    return {matrices_[4], matrices_[5], matrices_[6], matrices_[7], matrices_[8]};
  }

  CompactShape<T> shape() { return {n_, n_, stride_, sums_, &ahead_}; }

  // Whole vectors.
  int64_t PaddedColumns() const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    return (n_ + lanes - 1) / lanes * lanes;
  }

  bool Load() {
    CompactLoad<D> load(n_, stride_, problem_.a, power(1), own_sums_);
    norm_ = load.Norm(0);
    if (!(norm_ <= kModerateNorm<T>) || (norm_ > 1 && load.IsUnbalanced())) return false;
    const auto mean = static_cast<T>(ShortMean(static_cast<double>(load.MeanDiagonal())));
    const double shifted = load.Norm(mean);
    const bool shifts = ShiftPays(shifted, norm_);
    if (shifts) shift_ = mean;
    norms_[0] = shifts ? shifted : norm_;
    shift_rounding_ = load.Finish(shift_);
    return true;
  }

  // Forms power `wanted` where it is not there yet, out of two that are; counts the product.
  void Need(int wanted, MatrixExpReport& report) {
    double& norm = norms_[Slot(wanted)];
    if (norm >= 0) return;
    const int left = wanted == 6 ? 3 : wanted - 1;
    norm =
        CompactProduct(D(), shape(), power(left), power(wanted - left),
                       [to = power(wanted), stride = stride_](int64_t row, int64_t col, hn::Vec<D> product) HWY_ATTR {
                         hn::Store(product, D(), to + row * stride + col);
                         return product;
                       });
    ++report.products;
  }

  // output = a b. Returns the norm of a b; sums_ are its columns'.
  double Multiply(const T* a, const T* b, const CompactOutput<T>& output) {
    return CompactProduct(D(), shape(), a, b, [=](int64_t row, int64_t col, hn::Vec<D> product) HWY_ATTR {
      output.Put(D(), row, col, product);
      return product;
    });
  }

  // |C^k|_1 for k = 4, 8 and 9. What is known of the square corrects the estimates: what the vectors overlook, they
  // overlook there too.
  void NeedGrowth() {
    if (growth_[0] >= 0) return;
    CompactGrowth<D> growth(shape(), rows_);
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

  // output = the polynomial at x C. Returns the norm; sums_ are the columns'.
  double Evaluate(int degree, double x, const CompactOutput<T>& output, MatrixExpReport& report) {
    const std::array<const T*, 4> powers = {power(1), power(2), power(3), power(6)};
    report.products += degree == 2 ? 0 : degree == 4 ? 1 : degree == 15 ? 3 : 2;
    return CompactPolynomial<D>(shape(), powers, spare()).Evaluate(degree, x, output);
  }

  bool RunTime(double time, T* result, MatrixExpReport& report) {
    report = MatrixExpReport{};
    if (n_ > kFewRows) ahead_ = CompactAhead(result, problem_.a + n_ * n_, static_cast<size_t>(n_ * n_) * sizeof(T));
    const double scale = std::fabs(time);
    report.norm1 = norm_ * scale;
    if (!(report.norm1 <= kModerateNorm<T>)) return false;
    if (report.norm1 < std::numeric_limits<T>::min()) return false;
    if (norms_[0] == 0) return false;
    const double factor = ShiftFactor(time);
    if (!IsModerate(factor)) return false;
    const TaylorPlan plan = Plan(std::log2(scale), report);
    if (plan.squarings > 40) return false;
    const double x = std::ldexp(time, -static_cast<int>(plan.squarings));
    // Rows of whole vectors go to their place at once.
    const bool in_place = n_ == PaddedColumns();
    const CompactOutput<T> last{result, n_, static_cast<T>(factor)};
    auto [value, next] = std::array<T*, 2>{spare()[0], spare()[1]};
    const auto output = [&](int64_t squaring, T* to) {
      return in_place && squaring == plan.squarings ? last : CompactOutput<T>{to, stride_, 1};
    };
    double norm = Evaluate(plan.degree, x, output(0, value), report);
    if (!IsModerate(norm)) return false;
    const std::array<double, 2> abs_powers = AbsPowers(plan.degree == 18, std::fabs(x));
    if (PowerCancels(n_, std::max(abs_powers[0], abs_powers[1]), norm)) return false;  // more digits there
    SquaringError error(std::log2(norm), EvaluationError(plan, std::fabs(x), norm, abs_powers));
    for (int64_t k = 1; k <= plan.squarings; ++k) {
      const double growth = GrowthNorm(value);
      norm = Multiply(value, value, output(k, next));
      std::swap(value, next);
      if (!IsModerate(norm)) return false;
      error.Add(std::log2(norm), kUnit * ProductRounding(n_) * growth / norm);
    }
    if (!IsModerate(factor * norm)) return false;
    if (!in_place) Copy(value, last);
    report.degree = static_cast<uint32_t>(plan.degree);
    report.squarings = static_cast<uint32_t>(plan.squarings);
    report.products += report.squarings;
    report.error_bound = error.Relative() + (shift_ != 0 ? 3 * kUnit : 0);
    return std::is_same_v<T, float> || report.error_bound <= kPoorBound;  // more digits elsewhere
  }

  // | |X| |X| |_1; sums_ are the columns' of X.
  double GrowthNorm(const T* x) { return AbsColumnSums(D(), n_, PaddedColumns(), x, stride_, sums_, rows_); }

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
    T* next = rows_ + stride_;
    std::array<double, 2> norms{};
    norms[0] = x * x * AbsColumnSums(D(), n_, PaddedColumns(), power(1), stride_, own_sums_, rows_);
    if (third) norms[1] = x * x * x * AbsColumnSums(D(), n_, PaddedColumns(), power(1), stride_, rows_, next);
    return norms;
  }

  // exp(time * shift).
  double ShiftFactor(double time) const {
    if (shift_ == 0) return 1;
    const DoubleDouble power = ExactProduct(static_cast<double>(shift_), time);
    return std::exp(power.hi) * (1 + power.lo);
  }

  void Copy(const T* from, const CompactOutput<T>& output) const {
    for (int64_t i = 0; i < n_; ++i) {
      for (int64_t j = 0; j < n_; ++j) output.to[i * output.stride + j] = from[i * stride_ + j] * output.factor;
    }
  }

  const CompactProblem<T>& problem_;
  CompactAhead ahead_;
  const int64_t n_;
  const int64_t stride_;
  T* const sums_;      // of columns, of the matrix seen last
  T* const own_sums_;  // of C
  T* const rows_;      // [2 kProbes, stride]
  std::array<T*, kCompactMatrices> matrices_;
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
