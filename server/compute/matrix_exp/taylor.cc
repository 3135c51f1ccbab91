#include "server/compute/matrix_exp/taylor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

// Exponents of two beyond this cannot come back: each squaring at least doubles them, less the range of double.
constexpr int64_t kHopelessExponent = int64_t{1} << 40;

int ToInt(int64_t exponent) { return static_cast<int>(std::clamp<int64_t>(exponent, -100000, 100000)); }

// B = time A as mantissa * 2^exponent * (C + shift I), C of `powers`.
template <typename T>
struct Scaling {
  Scaling(const Powers<T>& powers, double time) {
    int time_exponent = 0;
    mantissa = std::frexp(time, &time_exponent);
    exponent = powers.exponent() + time_exponent;
  }
  double LogScale() const { return std::log2(std::fabs(mantissa)) + exponent; }

  double mantissa = 0;
  int64_t exponent = 0;
};

template <typename T>
LogNorms LogNormsOf(const Powers<T>& powers, double log_scale) {
  LogNorms norms;
  for (int k = 1; k <= powers.count(); ++k) norms.push_back(powers.log_norm(k) + k * log_scale);
  return norms;
}

// One exponential in the making: value_ * 2^exponent_, and a bound of its relative error in the 1-norm.
template <typename T>
class Series {
 public:
  Series(runtime::Executor& executor, runtime::BufferPool& pool, const Powers<T>& powers, const Scaling<T>& scaling)
      : executor_(executor),
        powers_(powers),
        scaling_(scaling),
        n_(powers.n()),
        buffers_{pool.AllocateArray<T>(static_cast<size_t>(n_ * n_)),
                 pool.AllocateArray<T>(static_cast<size_t>(n_ * n_))},
        value_(buffers_[0].template as<T>(), n_, n_),
        spare_(buffers_[1].template as<T>(), n_, n_) {}

  void StartWithIdentity() {
    std::fill_n(value_.data, static_cast<size_t>(n_ * n_), T{0});
    for (int64_t i = 0; i < n_; ++i) value_.row(i)[i] = 1;
    norm_ = 1;
    error_ = kUnit;
  }

  // The polynomial at B / 2^squarings.
  absl::Status Evaluate(const TaylorPlan& plan) {
    for (int part = plan.blocks - 1; part >= 0; --part) {
      const bool highest = part == plan.blocks - 1;
      FillPolynomial(plan, part * plan.block, plan.block - (highest ? 0 : 1));
      if (!highest) {
        const T scale = static_cast<T>(Coefficient(plan, plan.block));
        if (auto done =
                ParallelGemm(executor_, scale, Operand<T>(value_), Operand<T>(powers_.power(plan.block)), T{1}, spare_);
            !done.ok()) {
          return done;
        }
      }
      std::swap(value_, spare_);
    }
    norm_ = NormOne(AsConst(value_));
    error_ = EvaluationError(plan);
    return absl::OkStatus();
  }

  // Multiplies by exp(shift of B / 2^squarings).
  void ApplyShift(int64_t squarings) {
    if (powers_.shift() == 0) return;
    const long double shift =
        std::ldexp(static_cast<long double>(powers_.shift()) * scaling_.mantissa, ToInt(scaling_.exponent - squarings));
    const long double power = shift * 1.442695040888963407359924681001892137L;  // log2(e)
    if (std::fabs(power) > static_cast<long double>(kHopelessExponent)) {
      exponent_ = power > 0 ? 2 * kHopelessExponent : -2 * kHopelessExponent;
      return;
    }
    const long double whole = std::floor(power);
    exponent_ += static_cast<int64_t>(whole);
    const T factor = static_cast<T>(std::exp2(power - whole));
    for (int64_t i = 0; i < n_ * n_; ++i) value_.data[i] *= factor;
    norm_ *= static_cast<double>(factor);
    error_ += kUnit * (2 + static_cast<double>(std::fabs(shift)));
  }

  // Squares up to `squarings` times; `done_squarings` counts those it took until the outcome was clear.
  absl::Status Square(int64_t squarings, uint32_t& done_squarings) {
    for (int64_t k = 0; k < squarings && norm_ > 0 && std::llabs(exponent_) < kHopelessExponent; ++k) {
      if (norm_ < kSmall) Normalize();
      if (auto done = SquareOnce(); !done.ok()) return done;
      if (!std::isfinite(norm_)) {
        // Only now: scaling down loses entries that are small beside the largest.
        std::swap(value_, spare_);
        norm_ = NormOne(AsConst(value_));
        exponent_ /= 2;
        Normalize();
        if (auto done = SquareOnce(); !done.ok()) return done;
      }
      ++done_squarings;
    }
    return absl::OkStatus();
  }

  // Whether the result fits in T; then it is stored, with its relative error bound.
  bool Store(const Matrix<T>& result, double& error_bound) const {
    constexpr int64_t kBeyondDouble = 1990;
    if (norm_ == 0 || exponent_ < -kBeyondDouble) {
      std::fill_n(result.data, static_cast<size_t>(n_ * n_), T{0});
      error_bound = 1;
      return true;
    }
    if (exponent_ > kBeyondDouble) return false;
    const PowerOfTwo scale(static_cast<int>(exponent_));
    bool fits = true;
    for (int64_t i = 0; i < n_ * n_; ++i) {
      result.data[i] = static_cast<T>(scale(static_cast<double>(value_.data[i])));
      fits = fits && std::fabs(result.data[i]) <= std::numeric_limits<T>::max();
    }
    const double norm = NormOne(AsConst(result));
    const double vanished = static_cast<double>(std::numeric_limits<T>::denorm_min()) * static_cast<double>(n_);
    error_bound = norm == 0 ? 1 : error_ + (norm < std::numeric_limits<T>::min() / kUnit ? vanished / norm : 0);
    return fits;
  }

 private:
  static constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;
  static constexpr double kSmall = std::is_same_v<T, float> ? 0x1p-20 : 0x1p-100;  // squares keep their digits above

  // A sum of n products rounds to about sqrt(n) units, not n.
  double RoundingTerms() const { return 4 + std::sqrt(static_cast<double>(n_)); }

  // What P_k is multiplied with to be (B / 2^squarings)^k.
  double Coefficient(const TaylorPlan& plan, int k) const {
    if (std::isinf(powers_.log_norm(k))) return 0;
    return std::ldexp(std::pow(scaling_.mantissa, k),
                      ToInt(k * (scaling_.exponent - plan.squarings) + powers_.power_exponent(k)));
  }

  // spare = sum over k <= count of (B / 2^squarings)^k / (first + k)!.
  void FillPolynomial(const TaylorPlan& plan, int first, int count) {
    double inverse_factorial = 1;
    for (int k = 2; k <= first; ++k) inverse_factorial /= k;
    const double identity = inverse_factorial;
    std::fill_n(spare_.data, static_cast<size_t>(n_ * n_), T{0});
    for (int k = 1; k <= count; ++k) {
      inverse_factorial /= first + k;
      const T coefficient = static_cast<T>(inverse_factorial * Coefficient(plan, k));
      const T* power = powers_.power(k).data;
      for (int64_t i = 0; i < n_ * n_; ++i) spare_.data[i] += coefficient * power[i];
    }
    for (int64_t i = 0; i < n_; ++i) spare_.row(i)[i] += static_cast<T>(identity);
  }

  // Rounding of the polynomial, relative to its norm, with the norms of the powers in place of cancelled terms; and
  // the truncation, which is a relative change of B by one unit.
  double EvaluationError(const TaylorPlan& plan) const {
    const double log_step = scaling_.LogScale() - static_cast<double>(plan.squarings);
    double sum = 0;
    double inverse_factorial = 1;
    for (int k = 0; k <= plan.degree(); ++k) {
      if (k > 0) inverse_factorial /= k;
      const int rest = k % plan.block;
      double log_norm = rest > 0 ? powers_.log_norm(rest) : 0;
      if (k >= plan.block) log_norm += powers_.log_norm(plan.block) * (k / plan.block);
      sum += inverse_factorial * std::exp2(log_norm + k * log_step);
    }
    const double step_norm = std::exp2(powers_.log_norm(1) + log_step);
    return kUnit * (2 + (RoundingTerms() + 2 * step_norm) * sum / norm_);
  }

  absl::Status SquareOnce() {
    if (auto done = ParallelGemm(executor_, T{1}, Operand<T>(value_), Operand<T>(value_), T{0}, spare_); !done.ok()) {
      return done;
    }
    std::swap(value_, spare_);
    exponent_ *= 2;
    const double before = norm_;
    norm_ = NormOne(AsConst(value_));
    if (!(norm_ <= std::numeric_limits<T>::max())) norm_ = std::numeric_limits<double>::infinity();
    if (std::isfinite(norm_)) {
      // |Y^2 computed - exp| <= 2 |Y| |error of Y| + rounding |Y|^2.
      error_ = std::min(1e300, (2 * error_ + kUnit * RoundingTerms()) * (before / norm_) * before);
    }
    return absl::OkStatus();
  }

  // Brings the norm to [1/2, 1).
  void Normalize() {
    int shift = 0;
    norm_ = std::frexp(norm_, &shift);
    const PowerOfTwo down(-shift);
    for (int64_t i = 0; i < n_ * n_; ++i) value_.data[i] = static_cast<T>(down(static_cast<double>(value_.data[i])));
    exponent_ += shift;
  }

  runtime::Executor& executor_;
  const Powers<T>& powers_;
  const Scaling<T>& scaling_;
  const int64_t n_;
  runtime::Buffer buffers_[2];
  Matrix<T> value_;
  Matrix<T> spare_;
  int64_t exponent_ = 0;
  double norm_ = 0;  // |value|_1
  double error_ = 0;
};

// The plan, with as many powers as it is worth.
template <typename T>
absl::Status ChoosePlan(runtime::Executor& executor, Powers<T>& powers, double log_scale, TaylorPlan& plan) {
  while (true) {
    if (powers.count() >= 2) {
      if (const auto found = PlanTaylor<T>(LogNormsOf(powers, log_scale))) {
        plan = *found;
        return absl::OkStatus();
      }
    }
    if (auto done = powers.AddPower(executor); !done.ok()) return done;
  }
}

}  // namespace

template <typename T>
absl::Status TaylorExp(runtime::Executor& executor, runtime::BufferPool& pool, Powers<T>& powers, double time,
                       const Matrix<T>& result, MatrixExpReport& report) {
  report = MatrixExpReport{};
  const Scaling<T> scaling(powers, time);
  report.norm1 = std::min(std::ldexp(powers.norm() * std::fabs(scaling.mantissa), ToInt(scaling.exponent)),
                          std::numeric_limits<double>::max());
  Series<T> series(executor, pool, powers, scaling);
  if (time == 0 || powers.is_zero()) {
    series.StartWithIdentity();
    if (time != 0) series.ApplyShift(0);
  } else {
    const int powers_before = powers.count();
    TaylorPlan plan;
    if (auto done = ChoosePlan(executor, powers, scaling.LogScale(), plan); !done.ok()) return done;
    if (auto done = series.Evaluate(plan); !done.ok()) return done;
    series.ApplyShift(plan.squarings);
    if (auto done = series.Square(plan.squarings, report.squarings); !done.ok()) return done;
    report.degree = static_cast<uint32_t>(plan.degree());
    report.products = static_cast<uint32_t>(powers.count() - powers_before + plan.blocks - 1) + report.squarings;
  }
  if (!series.Store(result, report.error_bound)) {
    return absl::OutOfRangeError(absl::StrCat("exp overflows at norm ", report.norm1, " of time * a, time = ", time));
  }
  return absl::OkStatus();
}

template absl::Status TaylorExp(runtime::Executor&, runtime::BufferPool&, Powers<float>&, double, const Matrix<float>&,
                                MatrixExpReport&);
template absl::Status TaylorExp(runtime::Executor&, runtime::BufferPool&, Powers<double>&, double,
                                const Matrix<double>&, MatrixExpReport&);

}  // namespace attend::compute
