#include "server/compute/matrix_exp/shifted_matrix.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/norms.h"
#include "server/compute/matrix_exp/rounding.h"

namespace attend::compute {

template <typename T>
ShiftedMatrix::ShiftedMatrix(const Matrix<const T>& a, runtime::BufferPool& pool)
    : c_(a.rows, a.cols, pool), exponent_(LoadScaled(a, c_.view())) {
  const Matrix<double> c = c_.view();
  norm_of_a_ = norm_ = NormOne(AsConst(c));
  double mean = 0;
  for (int64_t i = 0; i < n(); ++i) mean += c.row(i)[i] / static_cast<double>(n());
  mean = ShortMean(mean);
  for (int64_t i = 0; i < n(); ++i) c.row(i)[i] -= mean;
  norm_ = NormOne(AsConst(c));
  if (ShiftPays(norm_, norm_of_a_)) {
    shift_ = mean;
    return;
  }
  LoadScaled(a, c);  // subtracting and adding the mean again would round
  norm_ = norm_of_a_;
}

long double ShiftedMatrix::Unit() const { return std::ldexp(1.0L, exponent_); }

double ShiftedMatrix::ReportedNorm(double time) const {
  const long double norm = std::ldexp(static_cast<long double>(norm_of_a_) * std::fabs(time), exponent_);
  return static_cast<double>(std::min<long double>(norm, std::numeric_limits<double>::max()));
}

double ShiftedMatrix::LogNorm(double time) const {
  if (norm_ == 0 || time == 0) return -std::numeric_limits<double>::infinity();
  return std::log2(norm_) + std::log2(std::fabs(time)) + exponent_;
}

double ShiftedMatrix::Scale(double time, int64_t steps_log2) const {
  const int64_t exponent = std::clamp<int64_t>(exponent_ - steps_log2, -4000, 4000);
  const long double scale = std::ldexp(static_cast<long double>(time), static_cast<int>(exponent));
  constexpr long double kMost = std::numeric_limits<double>::max();
  return static_cast<double>(std::clamp(scale, -kMost, kMost));
}

long double ShiftedMatrix::ShiftBy(double time) const {
  return std::ldexp(static_cast<long double>(shift_) * static_cast<long double>(time), exponent_);
}

template ShiftedMatrix::ShiftedMatrix(const Matrix<const float>&, runtime::BufferPool&);
template ShiftedMatrix::ShiftedMatrix(const Matrix<const double>&, runtime::BufferPool&);

}  // namespace attend::compute
