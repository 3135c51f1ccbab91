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
