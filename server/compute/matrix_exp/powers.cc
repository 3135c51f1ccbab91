#include "server/compute/matrix_exp/powers.h"

#include <algorithm>
#include <cmath>

#include "server/compute/matrix_exp/double_double.h"
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

template <typename T>
void AddToDiagonal(const Matrix<T>& c, double term) {
  for (int64_t i = 0; i < c.rows; ++i) c.row(i)[i] = static_cast<T>(static_cast<double>(c.row(i)[i]) + term);
}

}  // namespace

template <typename T>
Powers<T>::Powers(const Matrix<const T>& a, runtime::BufferPool& pool) : n_(a.rows), pool_(pool) {
  powers_.push_back(pool.AllocateArray<T>(static_cast<size_t>(n_ * n_)));
  std::frexp(MaxAbs(a), &exponent_);
  const PowerOfTwo to_unit(-exponent_);
  const Matrix<T> c = power(1);
  for (int64_t i = 0; i < n_; ++i) {
    for (int64_t j = 0; j < n_; ++j) c.row(i)[j] = static_cast<T>(to_unit(static_cast<double>(a.row(i)[j])));
  }
  const double mean = MeanDiagonal(c);
  norm_ = NormOne(AsConst(c));
  AddToDiagonal(c, -mean);
  if (NormOne(AsConst(c)) < norm_) {
    shift_ = mean;
  } else {
    // Formed anew: subtracting and adding the mean again would round.
    for (int64_t i = 0; i < n_; ++i) c.row(i)[i] = static_cast<T>(to_unit(static_cast<double>(a.row(i)[i])));
  }
  Normalize(0);
}

template <typename T>
absl::Status Powers<T>::AddPower(runtime::Executor& executor) {
  powers_.push_back(pool_.AllocateArray<T>(static_cast<size_t>(n_ * n_)));
  const int k = count();
  if (auto done = ParallelGemm(executor, T{1}, Operand<T>(power(k - 1)), Operand<T>(power(1)), T{0}, power(k));
      !done.ok()) {
    return done;
  }
  Normalize(power_exponent(k - 1) + power_exponent(1));
  return absl::OkStatus();
}

// Brings the last power, which stands for itself times 2^exponent, to a largest entry in [1/2, 1).
template <typename T>
void Powers<T>::Normalize(int64_t exponent) {
  const Matrix<T> last = power(count());
  int shift = 0;
  std::frexp(MaxAbs(AsConst(last)), &shift);
  if (shift != 0) {
    const PowerOfTwo down(-shift);
    for (int64_t i = 0; i < n_ * n_; ++i) last.data[i] = static_cast<T>(down(static_cast<double>(last.data[i])));
  }
  power_exponents_.push_back(exponent + shift);
  log_norms_.push_back(std::log2(NormOne(AsConst(last))) + static_cast<double>(exponent + shift));
}

template class Powers<float>;
template class Powers<double>;

}  // namespace attend::compute
