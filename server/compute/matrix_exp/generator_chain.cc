#include "server/compute/matrix_exp/generator_chain.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace attend::compute {
namespace {

void SetZero(const WideMatrix& a) {
  const auto entries = static_cast<size_t>(a.n() * a.n());
  std::fill_n(a.hi(), entries, 0.0);
  if (a.precision() == Precision::kDoubleDouble) std::fill_n(a.lo(), entries, 0.0);
}

// factor^k / k!
std::vector<DoubleDouble> Coefficients(int degree, double factor) {
  std::vector<DoubleDouble> result{{1, 0}};
  for (int k = 1; k <= degree; ++k) {
    result.push_back(result.back() * DoubleDouble{factor, 0} / DoubleDouble{static_cast<double>(k), 0});
  }
  return result;
}

}  // namespace

double GeneratorChain::ProductTolerance(int squarings) { return std::ldexp(1.0, -58 - squarings); }

GeneratorChain::GeneratorChain(int64_t n, Precision precision, runtime::BufferPool& pool)
    : n_(n), precision_(precision), pool_(pool), accuracies_(1) {
  powers_.emplace_back(n, precision, pool);
}

absl::Status GeneratorChain::Start(runtime::Executor& executor, const SeriesPlan& plan, double factor,
                                   uint32_t& products) {
  if (plan.horizon != horizon_) {
    powers_.erase(powers_.begin() + 1, powers_.end());
    accuracies_ = {PairAccuracy{.tolerance = ProductTolerance(plan.horizon)}};
    horizon_ = plan.horizon;
  }
  if (auto done = NeedPower(executor, plan.block, products); !done.ok()) return done;
  if (!value_) value_.emplace(n_, precision_, pool_);
  if (!spare_) spare_.emplace(n_, precision_, pool_);
  accuracy_ = accuracies_[static_cast<size_t>(plan.block - 1)];
  squarings_ = 0;
  settled_ = false;
  if (auto done = SumSeries(executor, plan, factor, products); !done.ok()) return done;
  return NormalizeRows(executor, *value_);
}

absl::Status GeneratorChain::NeedPower(runtime::Executor& executor, int k, uint32_t& products) {
  while (static_cast<int>(powers_.size()) < k) {
    WideMatrix power(n_, precision_, pool_);
    PairAccuracy accuracy = accuracies_.back();
    auto done = Multiply(executor, pool_, powers_.back(), powers_[0], power, accuracy);
    if (!done.ok()) return done;
    ++products;
    powers_.push_back(std::move(power));
    accuracies_.push_back(accuracy);
  }
  return absl::OkStatus();
}

absl::Status GeneratorChain::SumSeries(runtime::Executor& executor, const SeriesPlan& plan, double factor,
                                       uint32_t& products) {
  const std::vector<DoubleDouble> all = Coefficients(plan.degree(), factor);
  const WideMatrix& highest_power = powers_[static_cast<size_t>(plan.block - 1)];
  SetZero(*value_);
  for (int part = plan.blocks - 1; part >= 0; --part) {
    const bool highest = part == plan.blocks - 1;
    if (!highest) {
      if (auto done = Multiply(executor, pool_, *value_, highest_power, *spare_, accuracy_); !done.ok()) return done;
      ++products;
      std::swap(*value_, *spare_);
    }
    const auto begin = all.begin() + part * plan.block;
    const std::vector<DoubleDouble> coefficients(begin, begin + plan.block + (highest ? 1 : 0));
    if (auto done = AddPolynomial(executor, coefficients, powers_, *value_); !done.ok()) return done;
  }
  return absl::OkStatus();
}

absl::Status GeneratorChain::SquareTo(runtime::Executor& executor, int squarings, uint32_t& products) {
  const double unchanged = precision_ == Precision::kDouble ? 0x1p-44 : 0x1p-70;
  while (squarings_ < squarings && !settled_) {
    accuracy_.tolerance = ProductTolerance(horizon_ - squarings_ - 1);
    if (auto done = Multiply(executor, pool_, *value_, *value_, *spare_, accuracy_); !done.ok()) return done;
    if (auto done = NormalizeRows(executor, *spare_); !done.ok()) return done;
    std::swap(*value_, *spare_);
    ++products;
    ++squarings_;
    settled_ = Agree(*spare_, *value_, unchanged);
  }
  return absl::OkStatus();
}

void GeneratorChain::Stop() {
  value_.reset();
  spare_.reset();
}

}  // namespace attend::compute
