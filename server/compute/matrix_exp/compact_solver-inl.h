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
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "hwy/highway.h"
#include "server/compute/matrix_exp/compact_exp.h"
#include "server/compute/matrix_exp/compact_layout.h"
#include "server/compute/matrix_exp/compact_product-inl.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise-inl.h"
#include "server/compute/matrix_exp/rounding.h"
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
    T* next = scratch + stride_;
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

  static size_t Slot(int k) { return k == 6 ? 3 : static_cast<size_t>(k - 1); }

  T* power(int k) const { return matrices_[Slot(k)]; }

  double Norm(const T* a) {
    return AbsColumnSums(D(), n_, PaddedColumns(), a, stride_, static_cast<T*>(nullptr), sums_);
  }

  // Whole vectors.
  int64_t PaddedColumns() const {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    return (n_ + lanes - 1) / lanes * lanes;
  }

  // C = A - shift I into power 1.
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
    const T mean = diagonal / static_cast<T>(n_);
    double shifted = 0;
    for (int64_t j = 0; j < n_; ++j) {
      const T entry = c[j * stride_ + j];
      shifted = std::max(shifted, static_cast<double>(sums_[j] - std::fabs(entry) + std::fabs(entry - mean)));
    }
    norms_[0] = norm_;
    if (shifted < norm_ && mean != 0) {
      shift_ = mean;
      for (int64_t i = 0; i < n_; ++i) c[i * stride_ + i] -= mean;
      norms_[0] = Norm(c);
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

  void Product(const T* a, const T* b, T* c) { CompactProduct<false>(D(), n_, stride_, a, b, c); }

  // Forms power `wanted` where it is not there yet, out of two that are; counts the product.
  void Need(int wanted, MatrixExpReport& report) {
    double& norm = norms_[Slot(wanted)];
    if (norm >= 0 || wanted == 1) return;
    const int left = wanted == 6 ? 3 : wanted - 1;
    Product(power(left), power(wanted - left), power(wanted));
    norm = Norm(power(wanted));
    ++report.products;
  }

  TaylorPlan Plan(double log_time, MatrixExpReport& report) {
    absl::InlinedVector<PowerNorm, 4> norms;
    const auto add = [&](int k) {
      Need(k, report);
      norms.push_back({k, std::log2(norms_[Slot(k)]) + k * log_time});
    };
    add(1);
    add(2);
    if (const auto plan = PlanTaylor<T>(norms)) return *plan;
    add(3);
    add(6);
    return *PlanTaylor<T>(norms);
  }

  // out = q * extra + the combination's terms above I, and then the identity's. `terms` of them are not 0.
  void CombinePowers(const Combination& coefficients, T q, const T* extra, T* out) {
    T factors[5];
    const T* terms[5];
    int count = 0;
    if (extra != nullptr) {
      factors[count] = q;
      terms[count++] = extra;
    }
    for (size_t k = 1; k < coefficients.size(); ++k) {
      if (coefficients[k] == 0) continue;
      factors[count] = static_cast<T>(coefficients[k]);
      terms[count++] = matrices_[k - 1];  // powers 1, 2, 3 and 6
    }
    Combine(D(), entries_, count, factors, terms, out);
    if (coefficients[0] == 0) return;
    for (int64_t i = 0; i < n_; ++i) out[i * stride_ + i] += static_cast<T>(coefficients[0]);
  }

  // value_ = the polynomial at x C.
  void Evaluate(int degree, double x, MatrixExpReport& report) {
    T* first = matrices_[4];
    T* second = matrices_[5];
    T* third = matrices_[6];
    const auto none = static_cast<const T*>(nullptr);
    if (degree == 2) {
      CombinePowers(Scaled({1, 1, 0.5, 0, 0}, x), 0, none, first);
      SetValue(first, second);
    } else if (degree == 4) {
      CombinePowers(Scaled(taylor4::kFactor, x), 0, none, first);
      Product(power(2), first, second);
      CombinePowers(Scaled(taylor4::kRest, x), static_cast<T>(x * x), second, first);
      SetValue(first, second);
      report.products += 1;
    } else if (degree == 8) {
      CombinePowers(Scaled(taylor8::kInner, x), 0, none, first);
      Product(power(2), first, second);
      const auto square = static_cast<T>(x * x);
      CombinePowers(Scaled(taylor8::kLeft, x), square, second, first);
      CombinePowers(Scaled(taylor8::kRight, x), static_cast<T>(taylor8::kRightInner) * square, second, third);
      Product(first, third, second);
      CombinePowers(Scaled(taylor8::kRest, x), T{1}, second, first);
      SetValue(first, second);
      report.products += 2;
    } else {
      CombinePowers(Scaled(taylor18::kL1, x), 0, none, first);
      CombinePowers(Scaled(taylor18::kL5, x), 0, none, second);
      Product(first, second, third);
      CombinePowers(Scaled(taylor18::kL4, x), T{1}, third, first);
      CombinePowers(Scaled(taylor18::kL3, x), T{1}, first, second);
      CombinePowers(Scaled(taylor18::kRest, x), static_cast<T>(taylor18::kKappa), third, third);
      CompactProduct<true>(D(), n_, stride_, second, first, third);
      std::swap(matrices_[4], matrices_[6]);
      SetValue(third, second);
      report.products += 2;
    }
  }

  void SetValue(T* value, T* spare) {
    value_ = value;
    spare_ = spare;
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
    SquaringError error(std::log2(norm), EvaluationError(plan, std::fabs(x), norm));
    for (int64_t k = 0; k < plan.squarings; ++k) {
      Product(value_, value_, spare_);
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
    return Store(time, norm, result, report);
  }

  // | |X| |X| |_1 of value_, whose column sums stand in sums_.
  double GrowthNorm() {
    T* weighted = matrices_[6];  // free once the polynomial is there
    return AbsColumnSums(D(), n_, PaddedColumns(), value_, stride_, sums_, weighted);
  }

  static bool IsModerate(double norm) { return norm <= kModerateResult<T> && norm >= 1 / kModerateResult<T>; }

  double EvaluationError(const TaylorPlan& plan, double x, double norm) const {
    const bool third = plan.degree == 18;
    const std::array<double, 3> norms = {norms_[0] * x, norms_[1] * x * x, third ? norms_[2] * x * x * x : 0};
    return kUnit * (EvaluationRounding(n_, norms[0]) * PolynomialMagnitude(plan.degree, norms) / norm +
                    plan.truncation * norms[0]);
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
  std::array<double, 4> norms_{-1, -1, -1, -1};  // |C^k|_1, -1 where it is not there yet
};

}  // namespace HWY_NAMESPACE
}  // namespace attend::compute
HWY_AFTER_NAMESPACE();

#endif
