#include "server/compute/matrix_exp/powers.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "server/compute/matrix_exp/balance.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/pair_gemm.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/matrix_exp/short_entries.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

template <typename T>
double MeanDiagonal(const Matrix<T>& c) {
  double sum = 0;
  for (int64_t i = 0; i < c.rows; ++i) sum += static_cast<double>(c.row(i)[i]);
  return sum / static_cast<double>(std::max<int64_t>(c.rows, 1));
}

// c = a * 2^exponent, which is the same in T or vanishes beside the largest entry.
template <typename From, typename T>
absl::Status ScaleBy(runtime::Executor& executor, const Matrix<From>& a, int exponent, const Matrix<T>& c) {
  const PowerOfTwo scale(exponent);
  return ForEachPanel(executor, c.rows, c.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = 0; j < c.cols; ++j) c.row(i)[j] = static_cast<T>(scale(static_cast<double>(a.row(i)[j])));
    }
  });
}

}  // namespace

template <typename T>
Powers<T>::Powers(const Matrix<const T>& a, runtime::BufferPool& pool, std::vector<int> balance)
    : a_(a), n_(a.rows), pool_(pool), balance_(std::move(balance)) {
  powers_[0] = pool.AllocateArray<T>(static_cast<size_t>(n_ * n_));
}

template <typename T>
absl::Status Powers<T>::Start(runtime::Executor& executor) {
  if (auto done = Scale(executor); !done.ok()) return done;
  double norm = norm_;
  if (!balance_.empty()) {
    if (auto done = NormOne(executor, AsConst(power(1)), norm); !done.ok()) return done;
  }
  TakeOutFactor(norm);
  return Shift(executor, norm);
}

// Where C has as few digits as it takes for exact squares without its common factor.
template <typename T>
void Powers<T>::TakeOutFactor(double& norm) {
  T* c = power(1).data;
  constexpr int kHighest = 6;
  if (norm == 0 || HasExactPowers(n_, c, n_, norm, kHighest)) return;
  const T common = CommonOddFactor(n_, c);
  if (common == 1) return;
  int exponent = 0;
  const auto factor = static_cast<T>(std::frexp(static_cast<double>(common), &exponent));
  // Both ways are exact: c is the product of this factor and fewer digits.
  std::for_each(c, c + n_ * n_, [factor](T& entry) { entry /= factor; });
  if (!HasExactPowers(n_, c, n_, norm / static_cast<double>(factor), 2)) {
    std::for_each(c, c + n_ * n_, [factor](T& entry) { entry *= factor; });
    return;
  }
  factor_ = static_cast<double>(factor);
  norm /= factor_;
}

template <typename T>
absl::Status Powers<T>::Scale(runtime::Executor& executor) {
  double largest = 0;
  if (auto done = MaxAbs(executor, a_, largest); !done.ok()) return done;
  std::frexp(largest, &exponent_);
  if (auto done = ScaleBy(executor, a_, -exponent_, power(1)); !done.ok()) return done;
  if (auto done = NormOne(executor, AsConst(power(1)), norm_); !done.ok()) return done;
  norm_exponent_ = exponent_;
  return balance_.empty() ? absl::OkStatus() : Balance(executor, balance_, a_, power(1), exponent_);
}

// Takes the mean off the diagonal where that makes the norm less.
template <typename T>
absl::Status Powers<T>::Shift(runtime::Executor& executor, double norm) {
  const Matrix<T> c = power(1);
  // The shift has to be a T, so that taking it off and putting it back mean the same number.
  if (const auto mean = static_cast<T>(ShortMean(MeanDiagonal(c))); mean != 0) {
    double rounding = 0;
    for (int64_t i = 0; i < n_; ++i) {
      const DoubleDouble exact = ExactSum(static_cast<double>(c.row(i)[i]), -static_cast<double>(mean));
      c.row(i)[i] = static_cast<T>(exact.hi);
      rounding = std::max(rounding, std::fabs((exact.hi - static_cast<double>(c.row(i)[i])) + exact.lo));
    }
    double shifted = 0;
    if (auto done = NormOne(executor, AsConst(c), shifted); !done.ok()) return done;
    if (ShiftPays(shifted, norm)) {
      shift_ = static_cast<double>(mean);
      shift_rounding_ = rounding;
      norm = shifted;
    } else {
      // Formed anew: adding the mean again would round.
      const PowerOfTwo to_final_unit(-exponent_);
      for (int64_t i = 0; i < n_; ++i)
        c.row(i)[i] = static_cast<T>(to_final_unit(static_cast<double>(a_.row(i)[i])) / factor_);
    }
  }
  log_norms_[0] = std::log2(norm);
  return absl::OkStatus();
}

template <typename T>
bool Powers<T>::is_zero() const {
  return std::isinf(log_norms_[0]);
}

template <typename T>
bool Powers<T>::vanishes(int k) const {
  return std::isinf(log_norms_[Slot(k)]) && HasExactPowers(n_, power(1).data, n_, std::exp2(log_norms_[0]), k);
}

template <typename T>
absl::Status Powers<T>::Need(int k, runtime::Executor& executor, uint32_t& products) {
  if (has(k)) return absl::OkStatus();
  const int left = k == 6 ? 3 : k - 1;
  const int right = k - left;
  if (auto done = Need(left, executor, products); !done.ok()) return done;
  powers_[Slot(k)] = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  ++products;
  absl::Status done = ParallelGemm(executor, T{1}, Operand<T>(power(left)), Operand<T>(power(right)), T{0}, power(k));
  if (!done.ok()) return done;
  double norm = 0;
  done = NormOne(executor, AsConst(power(k)), norm);
  log_norms_[Slot(k)] = std::log2(norm);
  if (!done.ok() || k == 6) return done;
  return MeasureAbs(k, executor);
}

// Square and cube are formed in this order.
template <typename T>
absl::Status Powers<T>::MeasureAbs(int k, runtime::Executor& executor) {
  double largest = 0;
  if (k == 2) {
    abs_sums_.resize(static_cast<size_t>(n_));
    const auto done = AbsColumnSums(executor, AsConst(power(1)), nullptr, abs_sums_.data(), largest);
    if (!done.ok()) return done;
  }
  std::vector<double> next(static_cast<size_t>(n_));
  if (auto done = AbsColumnSums(executor, AsConst(power(1)), abs_sums_.data(), next.data(), largest); !done.ok()) {
    return done;
  }
  abs_sums_ = std::move(next);
  const bool exact = HasExactPowers(n_, power(1).data, n_, std::exp2(log_norms_[0]), k);
  log_abs_norms_[static_cast<size_t>(k - 2)] = exact ? -std::numeric_limits<double>::infinity() : std::log2(largest);
  return absl::OkStatus();
}

template <typename T>
absl::Status Powers<T>::Refine(int k, runtime::Executor& executor, uint32_t& products) {
  if (k == 3 && !is_refined(2)) {
    const runtime::Buffer cube = std::move(powers_[Slot(3)]);
    if (auto done = Refine(2, executor, products); !done.ok()) return done;
    powers_[Slot(3)] = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  }
  if (auto done = MultiplyWide(k, executor, products); !done.ok()) return done;
  refined_[static_cast<size_t>(k - 2)] = true;
  if (k == 2) powers_[Slot(3)] = runtime::Buffer();
  powers_[Slot(6)] = runtime::Buffer();
  return MeasureRefined(k, executor);
}

template <typename T>
absl::Status Powers<T>::MultiplyWide(int k, runtime::Executor& executor, uint32_t& products) {
  const Matrix<T> out = power(k);
  Dense rest(n_, n_, pool_);
  if constexpr (std::is_same_v<T, double>) {
    constexpr int kPairProduct = 12;  // in plain ones
    products += kPairProduct;
    const Dense nothing(n_, n_, pool_);
    SetZero(nothing.view());
    const PairPlanes left = {power(1).data, nothing.data()};
    const PairPlanes right = k == 2 ? left : PairPlanes{power(2).data, square_rest_.data()};
    if (auto done = PairGemm(executor, pool_, n_, left, right, {out.data, rest.data()}); !done.ok()) return done;
  } else {
    ++products;
    const Dense left(n_, n_, pool_);
    Load(AsConst(power(1)), left.view());
    Dense square;
    if (k == 3) {
      square = Dense(n_, n_, pool_);
      Load(AsConst(power(2)), square.view());
      for (int64_t i = 0; i < square.size(); ++i) square.data()[i] += square_rest_.data()[i];
    }
    const Dense& right = k == 2 ? left : square;
    if (auto done = ParallelGemm(executor, 1.0, Operand<double>(left.view()), right.view(), 0.0, rest.view());
        !done.ok()) {
      return done;
    }
    for (int64_t i = 0; i < rest.size(); ++i) {
      out.data[i] = static_cast<T>(rest.data()[i]);
      rest.data()[i] -= static_cast<double>(out.data[i]);
    }
  }
  if (k == 2) square_rest_ = std::move(rest);
  return absl::OkStatus();
}

// What is left of the rounding: half a unit of the power itself, and of the products.
template <typename T>
absl::Status Powers<T>::MeasureRefined(int k, runtime::Executor& executor) {
  double norm = 0;
  if (auto done = NormOne(executor, AsConst(power(k)), norm); !done.ok()) return done;
  log_norms_[Slot(k)] = std::log2(norm);
  double& log_abs = log_abs_norms_[static_cast<size_t>(k - 2)];
  if (std::isinf(log_abs)) return absl::OkStatus();
  const double left = std::is_same_v<T, double> ? 0x1p-46 : 0x1p-27;
  log_abs = std::log2(norm + left * std::sqrt(static_cast<double>(n_)) * std::exp2(log_abs));
  return absl::OkStatus();
}

template class Powers<float>;
template class Powers<double>;

}  // namespace attend::compute
