#include "server/compute/matrix_exp/general_exp.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "server/compute/matrix_exp/balance.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/rounding.h"
#include "server/compute/matrix_exp/taylor.h"

namespace attend::compute {
namespace {

// Balancing exponents of a, whatever its range.
template <typename T>
absl::Status BalanceOf(runtime::Executor& executor, const Matrix<const T>& a, std::vector<int>& exponents) {
  double largest = 0;
  if (auto done = MaxAbs(executor, a, largest); !done.ok()) return done;
  int exponent = 0;
  std::frexp(largest, &exponent);
  return BalanceExponents(executor, a, exponent, exponents);
}

}  // namespace

template <typename T>
absl::Status GeneralExp<T>::RunPlain(runtime::Executor& executor, double time, const Matrix<T>& result,
                                     MatrixExpReport& report) {
  if (!plain_) {
    plain_.emplace(a_, pool_);
    if (auto done = plain_->Start(executor); !done.ok()) return done;
  }
  return TaylorExp(executor, pool_, *plain_, time, result, report);
}

// By the way of the lesser bound.
template <typename T>
absl::Status GeneralExp<T>::RunBetter(runtime::Executor& executor, double time, const Matrix<T>& result,
                                      MatrixExpReport& report) {
  if (!looked_) {
    looked_ = true;
    std::vector<int> balance;
    if (auto done = BalanceOf(executor, a_, balance); !done.ok()) return done;
    if (!balance.empty()) {
      balanced_.emplace(a_, pool_, std::move(balance));
      if (auto done = balanced_->Start(executor); !done.ok()) return done;
    }
  }
  if (!balanced_) return RunPlain(executor, time, result, report);
  constexpr double kGood = 500 * std::numeric_limits<T>::epsilon();
  const absl::Status done = TaylorExp(executor, pool_, *balanced_, time, result, report);
  if (done.ok() && report.error_bound <= kGood) return done;
  if (!done.ok() && !absl::IsOutOfRange(done)) return done;
  const auto entries = static_cast<size_t>(a_.rows * a_.cols);
  const runtime::Buffer memory = pool_.AllocateArray<T>(entries);
  const Matrix<T> other(memory.as<T>(), a_.rows, a_.cols);
  MatrixExpReport other_report;
  const absl::Status other_done = RunPlain(executor, time, other, other_report);
  if (!other_done.ok()) return absl::IsOutOfRange(other_done) ? done : other_done;
  const uint32_t products = report.products + other_report.products;
  if (!done.ok() || other_report.error_bound < report.error_bound) {
    std::copy_n(other.data, entries, result.data);
    report = other_report;
  }
  report.products = products;
  return absl::OkStatus();
}

template <typename T>
absl::Status GeneralExp<T>::Run(runtime::Executor& executor, double time, const Matrix<T>& result,
                                MatrixExpReport& report) {
  const absl::Status done = RunBetter(executor, time, result, report);
  if constexpr (std::is_same_v<T, double>) {
    const bool poor = absl::IsOutOfRange(done) || (done.ok() && report.error_bound > kPoorBound);
    if (!poor || a_.rows > kLargestPairExp || time == 0) return done;
    // Their memory is needed; a later time forms them anew.
    balanced_.reset();
    plain_.reset();
    looked_ = false;
    const auto entries = static_cast<size_t>(a_.rows * a_.cols);
    const runtime::Buffer memory = pool_.AllocateArray<double>(entries);
    MatrixExpReport other;
    const absl::StatusOr<bool> fits =
        PairExp(executor, pool_, a_, time, Matrix<double>(memory.as<double>(), a_.rows, a_.cols), other);
    if (!fits.ok()) return fits.status();
    const uint32_t products = report.products + other.products;
    // What overflows may only be claimed to fit where that is known.
    if (*fits && other.error_bound < (done.ok() ? report.error_bound : kPoorBound)) {
      std::copy_n(memory.as<double>(), entries, result.data);
      report = other;
      report.products = products;
      return absl::OkStatus();
    }
    report.products = products;
  }
  return done;
}

template class GeneralExp<float>;
template class GeneralExp<double>;

}  // namespace attend::compute
