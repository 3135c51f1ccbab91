#include "server/compute/matrix_exp/taylor_series.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace attend::compute {

template <typename T>
absl::Status TaylorSeries<T>::EvaluatePolynomial(const TaylorPlan& plan, uint32_t& products) {
  const double x = Step(plan);
  if (plan.degree == 2) {
    return Combine({1, 1, 0.5, 0, 0}, x, 0, nullptr, value_);
  }
  if (plan.degree == 4) {
    if (auto done = Combine(taylor4::kFactor, x, 0, nullptr, third_); !done.ok()) return done;
    if (auto done = Multiply(powers_.power(2), third_, spare_, products); !done.ok()) return done;
    return Combine(taylor4::kRest, x, x * x, &spare_, value_);
  }
  if (plan.degree == 8) {
    if (auto done = Combine(taylor8::kInner, x, 0, nullptr, third_); !done.ok()) return done;
    if (auto done = Multiply(powers_.power(2), third_, spare_, products); !done.ok()) return done;
    if (auto done = Combine(taylor8::kLeft, x, x * x, &spare_, value_); !done.ok()) return done;
    if (auto done = Combine(taylor8::kRight, x, x * x * taylor8::kRightInner, &spare_, third_); !done.ok()) return done;
    if (auto done = Multiply(value_, third_, spare_, products); !done.ok()) return done;
    return Combine(taylor8::kRest, x, 1, &spare_, value_);
  }
  if (auto done = Combine(taylor18::kL1, x, 0, nullptr, value_); !done.ok()) return done;
  if (auto done = Combine(taylor18::kL5, x, 0, nullptr, spare_); !done.ok()) return done;
  if (auto done = Multiply(value_, spare_, third_, products); !done.ok()) return done;
  if (auto done = Combine(taylor18::kL4, x, 1, &third_, value_); !done.ok()) return done;
  if (auto done = Combine(taylor18::kL3, x, 1, &value_, spare_); !done.ok()) return done;
  if (auto done = Combine(taylor18::kRest, x, taylor18::kKappa, &third_, third_); !done.ok()) return done;
  ++products;
  if (auto done = ParallelGemm(executor_, T{1}, Operand<T>(spare_), Operand<T>(value_), T{1}, third_); !done.ok()) {
    return done;
  }
  std::swap(value_, third_);
  return absl::OkStatus();
}

namespace {

// Of the even and of the odd terms, by powers of the square.
using SquareCoefficients = std::array<double, 9>;

SquareCoefficients EveryOther(int first) {
  SquareCoefficients coefficients{};
  for (size_t k = 0; k < coefficients.size(); ++k) {
    coefficients[k] = 1 / std::tgamma(2 * static_cast<double>(k) + first + 1);
  }
  return coefficients;
}

// out = c0 + c1 S + S^2 (c2 + c3 S + S^2 (c4 + c5 S + S^2 (c6 + c7 S + c8 S^2))).
template <typename T>
absl::Status SumOfSquares(runtime::Executor& executor, const SquareCoefficients& c, const Matrix<T>& square,
                          const Matrix<T>& fourth, const Matrix<T>& out, const Matrix<T>& spare) {
  const auto coefficient = [&](size_t k) { return static_cast<T>(c[k]); };
  const std::array<Term<T>, 2> last = {Term<T>{coefficient(7), square.data}, Term<T>{coefficient(8), fourth.data}};
  if (auto done = SumTerms<T>(executor, out.rows, last, coefficient(6), out.data); !done.ok()) return done;
  for (size_t k : {4, 2, 0}) {
    auto done = ParallelGemm(executor, T{1}, Operand<T>(fourth), Operand<T>(out), T{0}, spare);
    if (!done.ok()) return done;
    const std::array<Term<T>, 2> terms = {Term<T>{T{1}, spare.data}, Term<T>{coefficient(k + 1), square.data}};
    done = SumTerms<T>(executor, out.rows, terms, coefficient(k), out.data);
    if (!done.ok()) return done;
  }
  return absl::OkStatus();
}

}  // namespace

template <typename T>
absl::Status TaylorSeries<T>::EvaluateInSquares(const TaylorPlan& plan, uint32_t& products) {
  constexpr uint32_t kHornerProducts = 3;
  const double x = Step(plan);
  const runtime::Buffer square_memory = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  const runtime::Buffer fourth_memory = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  const Matrix<T> square(square_memory.template as<T>(), n_, n_);
  const Matrix<T> fourth(fourth_memory.template as<T>(), n_, n_);
  const std::array<Term<T>, 1> scaled = {Term<T>{static_cast<T>(x * x), powers_.power(2).data}};
  if (auto done = SumTerms<T>(executor_, n_, scaled, T{0}, square.data); !done.ok()) return done;
  if (auto done = Multiply(square, square, fourth, products); !done.ok()) return done;
  products += 2 * kHornerProducts;
  if (auto done = SumOfSquares(executor_, EveryOther(1), square, fourth, value_, spare_); !done.ok()) return done;
  if (auto done = Multiply(powers_.power(1), value_, third_, products); !done.ok()) return done;
  if (auto done = SumOfSquares(executor_, EveryOther(0), square, fourth, value_, spare_); !done.ok()) return done;
  const std::array<Term<T>, 2> sum = {Term<T>{T{1}, value_.data}, Term<T>{static_cast<T>(x), third_.data}};
  return SumTerms<T>(executor_, n_, sum, T{0}, value_.data);
}

// The square's norm is at most 1: even terms add up to cosh 1, the odd ones' factor of B to sinh 1, and they change by
// 0.55 and 0.2 times what the square does.
template <typename T>
double TaylorSeries<T>::ErrorInSquares(const TaylorPlan& plan) const {
  const double log_step = scaling_.LogScale() - static_cast<double>(plan.squarings);
  const double norm = std::exp2(powers_.log_norm(1) + log_step);
  const double square = std::exp2(powers_.log_abs_norm(2) + 2 * log_step);
  const double rounding = kUnit * (2 + ProductRounding(n_)) * (std::cosh(1.0) + std::sinh(1.0) * norm);
  const double of_square = PowersRounding(kUnit, n_, square, 0)[1] * (0.55 + 0.2 * norm);
  const double moved = FactorRounding() * norm * kUnit + powers_.shift_rounding() * std::exp2(log_step);
  const double magnitude = std::cosh(1.0) + std::sinh(1.0) * norm;
  return std::min(1e300, (rounding + of_square) / norm_ + kUnit * plan.truncation * norm + moved * magnitude);
}

// value_ * 2^exponent_ is the sum. The powers are exact: what rounds are coefficients and sums.
template <typename T>
absl::Status TaylorSeries<T>::SumAllTerms(int degree, uint32_t& products) {
  constexpr double kModerate = std::is_same_v<T, float> ? 20 : 100;
  absl::InlinedVector<const T*, 5> powers;
  absl::InlinedVector<double, 5> log_norms;
  for (int k = 1; k <= degree; ++k) {
    if (k <= 3) {
      powers.push_back(powers_.power(k).data);
      log_norms.push_back(powers_.log_norm(k));
      continue;
    }
    const Matrix<T>& power = k == 4 ? third_ : spare_;
    if (auto done = Multiply(powers_.power(3), powers_.power(k - 3), power, products); !done.ok()) return done;
    double norm = 0;
    if (auto done = NormOne(executor_, AsConst(power), norm); !done.ok()) return done;
    powers.push_back(power.data);
    log_norms.push_back(std::log2(norm));
  }
  double largest = 0;  // log2 of the largest term
  for (int k = 1; k <= degree; ++k) {
    double& log_norm = log_norms[static_cast<size_t>(k - 1)];
    log_norm += k * scaling_.LogScale() - std::log2(std::tgamma(k + 1));
    largest = std::max(largest, log_norm);
  }
  exponent_ = largest <= kModerate ? 0 : static_cast<int64_t>(std::min(std::ceil(largest), 1e5));
  absl::InlinedVector<Term<T>, 5> terms;
  sum_error_ = kUnit * std::exp2(-static_cast<double>(exponent_));
  for (int k = 1; k <= degree; ++k) {
    const double log_norm = log_norms[static_cast<size_t>(k - 1)] - static_cast<double>(exponent_);
    if (!std::isfinite(log_norm)) continue;
    const double coefficient = std::pow(static_cast<double>(scaling_.scale), k) / std::tgamma(k + 1);
    terms.push_back({static_cast<T>(std::ldexp(coefficient, ToInt(k * scaling_.exponent - exponent_))),
                     powers[static_cast<size_t>(k - 1)]});
    sum_error_ += kUnit * (4 + 2 * k) * std::exp2(log_norm);
  }
  sum_error_ += static_cast<double>(n_) * static_cast<double>(std::numeric_limits<T>::denorm_min());
  return SumTerms<T>(executor_, n_, terms, static_cast<T>(std::ldexp(1.0, ToInt(-exponent_))), value_.data);
}

template class TaylorSeries<float>;
template class TaylorSeries<double>;

}  // namespace attend::compute
