#include "server/compute/matrix_exp/taylor_series.h"

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

template class TaylorSeries<float>;
template class TaylorSeries<double>;

}  // namespace attend::compute
