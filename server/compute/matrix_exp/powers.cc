#include "server/compute/matrix_exp/powers.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "server/compute/matrix_exp/balance.h"
#include "server/compute/matrix_exp/double_double.h"
#include "server/compute/matrix_exp/entrywise.h"
#include "server/compute/matrix_exp/norms.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {
namespace {

template <typename T>
double MeanDiagonal(const Matrix<T>& c) {
  double sum = 0;
  for (int64_t i = 0; i < c.rows; ++i) sum += static_cast<double>(c.row(i)[i]);
  return sum / static_cast<double>(std::max<int64_t>(c.rows, 1));
}

}  // namespace

template <typename T>
Powers<T>::Powers(const Matrix<const T>& a, runtime::BufferPool& pool, std::vector<int> balance)
    : n_(a.rows), pool_(pool), balance_(std::move(balance)) {
  powers_[0] = pool.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  std::frexp(MaxAbs(a), &exponent_);
  const PowerOfTwo to_unit(-exponent_);
  const Matrix<T> c = power(1);
  for (int64_t i = 0; i < n_; ++i) {
    for (int64_t j = 0; j < n_; ++j) c.row(i)[j] = static_cast<T>(to_unit(static_cast<double>(a.row(i)[j])));
  }
  norm_ = NormOne(AsConst(c));
  if (!balance_.empty()) {
    Balance(balance_, c);
    Normalize();
  }
  double norm = balance_.empty() ? norm_ : NormOne(AsConst(c));
  // The shift has to be a T, so that taking it off and putting it back mean the same number.
  if (const auto mean = static_cast<T>(MeanDiagonal(c)); mean != 0) {
    for (int64_t i = 0; i < n_; ++i) c.row(i)[i] -= mean;
    const double shifted = NormOne(AsConst(c));
    if (shifted < norm) {
      shift_ = mean;
      norm = shifted;
    } else {
      // Formed anew: adding the mean again would round.
      const PowerOfTwo to_final_unit(-exponent_);
      for (int64_t i = 0; i < n_; ++i) c.row(i)[i] = static_cast<T>(to_final_unit(static_cast<double>(a.row(i)[i])));
    }
  }
  log_norms_[0] = std::log2(norm);
}

// Brings the largest entry of C back to [1/2, 1).
template <typename T>
void Powers<T>::Normalize() {
  const Matrix<T> c = power(1);
  int shift = 0;
  std::frexp(MaxAbs(AsConst(c)), &shift);
  const PowerOfTwo down(-shift);
  for (int64_t k = 0; k < n_ * n_; ++k) c.data[k] = static_cast<T>(down(static_cast<double>(c.data[k])));
  norm_ = down(norm_);
  exponent_ += shift;
}

template <typename T>
bool Powers<T>::is_zero() const {
  return std::isinf(log_norms_[0]);
}

template <typename T>
absl::Status Powers<T>::Need(int k, runtime::Executor& executor, uint32_t& products) {
  if (has(k)) return absl::OkStatus();
  const int left = k == 6 ? 3 : k - 1;
  const int right = k - left;
  if (auto done = Need(left, executor, products); !done.ok()) return done;
  powers_[Slot(k)] = pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_));
  ++products;
  const absl::Status done =
      ParallelGemm(executor, T{1}, Operand<T>(power(left)), Operand<T>(power(right)), T{0}, power(k));
  if (done.ok()) log_norms_[Slot(k)] = std::log2(NormOne(AsConst(power(k))));
  return done;
}

template class Powers<float>;
template class Powers<double>;

}  // namespace attend::compute
