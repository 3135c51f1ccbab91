// One exponential of taylor.h in the making: the polynomial, the squarings, the shift, and what bounds the error. Not
// thread-safe. T is float or double. For taylor.cc.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_SERIES_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_SERIES_H_

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/powers.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/matrix_exp/squaring_error.h"
#include "server/compute/matrix_exp/taylor_plan.h"
#include "server/compute/matrix_exp/taylor_polynomial.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {

// Exponents of two are kept to the last bit up to here. Beyond, what each squaring does to them is known: it doubles
// them, but for less than 2^-50 of themselves.
inline constexpr int64_t kHopelessExponent = int64_t{1} << 60;

inline int ToInt(int64_t exponent) { return static_cast<int>(std::clamp<int64_t>(exponent, -100000, 100000)); }

// B = time A as scale * 2^exponent * (C + shift I), C and shift of `powers`.
template <typename T>
struct TaylorScaling {
  TaylorScaling(const Powers<T>& powers, double time) {
    int time_exponent = 0;
    scale = static_cast<long double>(std::frexp(time, &time_exponent)) * powers.factor();
    exponent = powers.exponent() + time_exponent;
  }
  double LogScale() const { return std::log2(std::fabs(static_cast<double>(scale))) + static_cast<double>(exponent); }

  long double scale = 0;
  int64_t exponent = 0;
};

// Calls in this order: StartWithIdentity or Evaluate, Square, ApplyShift, Store. The value is value_ * 2^exponent_.
template <typename T>
class TaylorSeries {
 public:
  TaylorSeries(runtime::Executor& executor, runtime::BufferPool& pool, Powers<T>& powers,
               const TaylorScaling<T>& scaling)
      : executor_(executor),
        pool_(pool),
        powers_(powers),
        scaling_(scaling),
        n_(powers.n()),
        sums_(2 * static_cast<size_t>(n_)) {
    for (runtime::Buffer& buffer : buffers_) buffer = pool.AllocateArray<T>(static_cast<size_t>(n_ * n_));
    value_ = MatrixOf(0);
    spare_ = MatrixOf(1);
    third_ = MatrixOf(2);
  }

  void StartWithIdentity() {
    std::fill_n(value_.data, static_cast<size_t>(n_ * n_), T{0});
    for (int64_t i = 0; i < n_; ++i) value_.row(i)[i] = 1;
    norm_ = 1;
    error_.emplace(0, kUnit);
  }

  // The polynomial at B / 2^squarings, without the shift.
  absl::Status Evaluate(const TaylorPlan& plan, uint32_t& products) {
    const absl::Status done = plan.ends         ? SumAllTerms(plan.degree, products)
                              : plan.in_squares ? EvaluateInSquares(plan, products)
                                                : EvaluatePolynomial(plan, products);
    if (!done.ok()) return done;
    if (absl::Status measured = MeasureNorm(); !measured.ok()) return measured;
    error_.emplace(std::log2(norm_) + static_cast<double>(exponent_), plan.ends ? std::min(1e300, sum_error_ / norm_)
                                                                      : plan.in_squares ? ErrorInSquares(plan)
                                                                                        : EvaluationError(plan));
    return absl::OkStatus();
  }

  // Squares up to `squarings` times; `done_squarings` counts those it took until the outcome was clear.
  absl::Status Square(int64_t squarings, uint32_t& done_squarings) {
    for (int64_t k = 0; k < squarings && norm_ > 0 && std::llabs(exponent_) < kHopelessExponent; ++k) {
      if (norm_ < kSmall) {
        if (auto done = Normalize(); !done.ok()) return done;
      }
      if (auto done = SquareOnce(); !done.ok()) return done;
      if (!std::isfinite(norm_)) {
        if (auto done = SquareAgainScaled(); !done.ok()) return done;
      }
      ++done_squarings;
    }
    squarings_left_ = squarings - done_squarings;
    return absl::OkStatus();
  }

  // Multiplies by exp of B's shift.
  absl::Status ApplyShift() {
    constexpr long double kLog2E = 1.442695040888963407359924681001892137L;
    const long double shift =
        std::ldexp(static_cast<long double>(powers_.shift()) * scaling_.scale, ToInt(scaling_.exponent));
    const long double power = shift * kLog2E;
    MeasureExponent(power);
    if (squarings_left_ > 0 || std::fabs(power) > static_cast<long double>(kHopelessExponent)) {
      constexpr long double kMost = 2 * static_cast<long double>(kHopelessExponent);
      exponent_ = static_cast<int64_t>(std::clamp(log_size_, -kMost, kMost));
      return absl::OkStatus();
    }
    if (power == 0) return absl::OkStatus();
    const long double whole = std::floor(power);
    exponent_ += static_cast<int64_t>(whole);
    const T factor = static_cast<T>(std::exp2(power - whole));
    norm_ *= static_cast<double>(factor);
    shift_error_ = 3 * kUnit + 0x1p-63 * static_cast<double>(std::fabs(power));
    return ForEachPanel(executor_, n_, n_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * n_; i < end * n_; ++i) value_.data[i] *= factor;
    });
  }

  // `fits`: whether the result fits in T; then it is stored, with its relative error bound. Where rounding hides
  // whether it overflows or vanishes, OUT_OF_RANGE.
  absl::Status Store(const Matrix<T>& result, bool& fits, double& error_bound) const {
    fits = true;
    error_bound = 0;
    constexpr int64_t kBeyondDouble = 1990;
    const std::vector<int>& balance = powers_.balance();
    const int spread = Spread(balance);
    if (norm_ == 0 || exponent_ < -kBeyondDouble - spread) {
      if (norm_ != 0 && log_size_ + log_size_error_ > -kBeyondDouble - spread) {
        return absl::OutOfRangeError("exp overflows or vanishes: rounding hides which at this norm of time * a");
      }
      std::fill_n(result.data, static_cast<size_t>(n_ * n_), T{0});
      error_bound = 1;
      return absl::OkStatus();
    }
    fits = exponent_ <= kBeyondDouble + spread;
    if (!fits) return absl::OkStatus();
    std::vector<double> largest(static_cast<size_t>(n_));
    const auto done = ForEachPanel(executor_, n_, n_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) largest[static_cast<size_t>(i)] = StoreRow(i, balance, result.row(i));
    });
    if (!done.ok()) return done;
    fits = std::all_of(largest.begin(), largest.end(),
                       [](double each) { return each <= static_cast<double>(std::numeric_limits<T>::max()); });
    return fits ? ErrorOf(AsConst(result), spread, error_bound) : absl::OkStatus();
  }

 private:
  static constexpr double kUnit = std::numeric_limits<T>::epsilon() / 2;
  static constexpr int kMostShift = 2000;                                          // of PowerOfTwo
  static constexpr double kSmall = std::is_same_v<T, float> ? 0x1p-20 : 0x1p-100;  // squares keep their digits above

  Matrix<T> MatrixOf(size_t index) const { return Matrix<T>(buffers_[index].template as<T>(), n_, n_); }

  // Exponents of the balancing: the largest less the least.
  static int Spread(const std::vector<int>& balance) {
    if (balance.empty()) return 0;
    const auto [least, most] = std::minmax_element(balance.begin(), balance.end());
    return *most - *least;
  }

  // log2 of the result's size, the shift's `power` of two included, and how far rounding may have moved it: a change of
  // B - shift by so much of itself changes the logarithm by its norm.
  void MeasureExponent(long double power) {
    constexpr long double kSafety = 8;
    const long double growth = static_cast<long double>(exponent_) + std::log2(static_cast<long double>(norm_));
    log_size_ = std::ldexp(growth, ToInt(squarings_left_)) + power;
    const long double norm = std::exp2(static_cast<long double>(powers_.log_norm(1) + scaling_.LogScale()));
    log_size_error_ = kSafety * static_cast<long double>(n_) * kUnit * norm + 0x1p-60L * std::fabs(power);
  }

  // Of value_; the column sums stay in sums_.
  absl::Status MeasureNorm() { return AbsColumnSums(executor_, AsConst(value_), nullptr, sums_.data(), norm_); }

  static double Shifted(double entry, int exponent) {
    return std::abs(exponent) <= kMostShift ? PowerOfTwo(exponent)(entry) : std::ldexp(entry, exponent);
  }

  // Row i of the result; returns its largest modulus, infinite where T cannot hold it.
  double StoreRow(int64_t i, const std::vector<int>& balance, T* out) const {
    T largest = 0;
    const T* row = value_.row(i);
    const auto exponent = static_cast<int>(exponent_);
    const PowerOfTwo scale(std::min(exponent, kMostShift));
    for (int64_t j = 0; j < n_; ++j) {
      const auto entry = static_cast<double>(row[j]);
      out[j] = static_cast<T>(balance.empty() ? scale(entry)
                                              : Shifted(entry, exponent + balance[static_cast<size_t>(i)] -
                                                                   balance[static_cast<size_t>(j)]));
      largest = std::max(largest, std::fabs(out[j]));
    }
    return static_cast<double>(largest);
  }

  absl::Status ErrorOf(const Matrix<const T>& result, int spread, double& bound) const {
    double norm = 0;
    if (auto done = NormOne(executor_, result, norm); !done.ok()) return done;
    bound = norm == 0 ? 1 : ErrorAt(norm, spread);
    return absl::OkStatus();
  }

  // Of a result of this norm.
  double ErrorAt(double norm, int spread) const {
    double error = error_->Relative() + shift_error_;
    // Errors of balanced entries may stand where balancing made entries smallest.
    if (spread > 0) error *= std::exp2(std::log2(norm_) - std::log2(norm) + static_cast<double>(exponent_ + spread));
    const double vanished = static_cast<double>(std::numeric_limits<T>::denorm_min()) * static_cast<double>(n_);
    if (norm < std::numeric_limits<T>::min() / kUnit) error += vanished / norm;
    return std::min(error, 1e300);
  }

  // What power k of C is multiplied with to be (B / 2^squarings)^k.
  double Step(const TaylorPlan& plan) const {
    return std::ldexp(static_cast<double>(scaling_.scale), ToInt(scaling_.exponent - plan.squarings));
  }

  // out = coefficients of powers of x C, + factor * extra.
  absl::Status Combine(const Combination& coefficients, double x, double factor, const Matrix<T>* extra,
                       const Matrix<T>& out) {
    absl::InlinedVector<Term<T>, 5> terms;
    if (extra != nullptr) terms.push_back({static_cast<T>(factor), extra->data});
    const Combination scaled = Scaled(coefficients, x);
    for (size_t k = 1; k < scaled.size(); ++k) {
      if (coefficients[k] != 0) terms.push_back({static_cast<T>(scaled[k]), powers_.power(kCombinedPowers[k]).data});
    }
    return SumTerms<T>(executor_, n_, terms, static_cast<T>(scaled[0]), out.data);
  }

  absl::Status Multiply(const Matrix<T>& a, const Matrix<T>& b, const Matrix<T>& c, uint32_t& products) {
    ++products;
    return ParallelGemm(executor_, T{1}, Operand<T>(a), Operand<T>(b), T{0}, c);
  }

  absl::Status EvaluatePolynomial(const TaylorPlan& plan, uint32_t& products);

  absl::Status EvaluateInSquares(const TaylorPlan& plan, uint32_t& products);
  double ErrorInSquares(const TaylorPlan& plan) const;

  // The series that ends with the term of this degree; sum_error_ is that of value_.
  absl::Status SumAllTerms(int degree, uint32_t& products);

  double EvaluationError(const TaylorPlan& plan) const {
    const double log_step = scaling_.LogScale() - static_cast<double>(plan.squarings);
    std::array<double, 3> norms{};
    for (int k = 1; k <= (plan.degree == 18 ? 3 : 2); ++k) {
      norms[static_cast<size_t>(k - 1)] = std::exp2(powers_.log_norm(k) + k * log_step);
    }
    const double square = std::exp2(powers_.log_abs_norm(2) + 2 * log_step);
    const double cube = plan.degree == 18 ? std::exp2(powers_.log_abs_norm(3) + 3 * log_step) : 0;
    const double powers = PowersSensitivity(plan.degree, norms, PowersRounding(kUnit, n_, square, cube));
    const double magnitude = PolynomialMagnitude(plan.degree, norms);
    const double moved = FactorRounding() * norms[0] * kUnit + powers_.shift_rounding() * std::exp2(log_step);
    return std::min(1e300, (kUnit * EvaluationRounding(n_, norms[0]) * magnitude + powers) / norm_ +
                               kUnit * plan.truncation * norms[0] + moved * magnitude);
  }

  // What the common factor rounds to as it is multiplied in, in units of B.
  double FactorRounding() const { return static_cast<double>(scaling_.scale) == scaling_.scale ? 0 : 1; }

  absl::Status SquareOnce() {
    double growth = 0;
    if (auto done = AbsColumnSums(executor_, AsConst(value_), sums_.data(), sums_.data() + n_, growth); !done.ok()) {
      return done;
    }
    if (auto done = ParallelGemm(executor_, T{1}, Operand<T>(value_), Operand<T>(value_), T{0}, spare_); !done.ok()) {
      return done;
    }
    std::swap(value_, spare_);
    exponent_ *= 2;
    if (auto done = MeasureNorm(); !done.ok()) return done;
    if (!(norm_ <= std::numeric_limits<T>::max())) norm_ = std::numeric_limits<double>::infinity();
    if (std::isfinite(norm_) && norm_ > 0) {
      const double rounding = std::min(1e300, kUnit * ProductRounding(n_) * (growth / norm_));
      error_->Add(std::log2(norm_) + static_cast<double>(exponent_), rounding);
    }
    return absl::OkStatus();
  }

  // Takes the square back and forms it of less. Only now: scaling down loses entries that are small beside the largest.
  absl::Status SquareAgainScaled() {
    std::swap(value_, spare_);
    if (auto done = MeasureNorm(); !done.ok()) return done;
    exponent_ /= 2;
    if (auto done = Normalize(); !done.ok()) return done;
    return SquareOnce();
  }

  // Brings the norm to [1/2, 1).
  absl::Status Normalize() {
    int shift = 0;
    norm_ = std::frexp(norm_, &shift);
    const PowerOfTwo down(-shift);
    for (double& sum : sums_) sum = down(sum);
    exponent_ += shift;
    return ForEachPanel(executor_, n_, n_, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * n_; i < end * n_; ++i) {
        value_.data[i] = static_cast<T>(down(static_cast<double>(value_.data[i])));
      }
    });
  }

  runtime::Executor& executor_;
  runtime::BufferPool& pool_;
  Powers<T>& powers_;
  const TaylorScaling<T>& scaling_;
  const int64_t n_;
  std::array<runtime::Buffer, 3> buffers_;
  Matrix<T> value_;
  Matrix<T> spare_;
  Matrix<T> third_;
  std::vector<double> sums_;  // of value_'s columns, and room for as many
  int64_t exponent_ = 0;
  int64_t squarings_left_ = 0;
  long double log_size_ = 0;  // log2 of the result
  long double log_size_error_ = 0;
  double norm_ = 0;  // |value|_1
  std::optional<SquaringError> error_;
  double sum_error_ = 0;
  double shift_error_ = 0;
};

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_TAYLOR_SERIES_H_
