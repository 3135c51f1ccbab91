#include "server/compute/matrix_exp/spectral.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/compute/matrix_exp/decompositions.h"
#include "server/compute/panels.h"
#include "server/compute/parallel_gemm.h"

namespace attend::compute {

absl::Status Spectral::ToBasis(runtime::Executor& executor, const Operand<double>& x, const Matrix<double>& to) const {
  return ParallelGemm(executor, 1.0, basis_.view(), x, 0.0, to);
}

absl::Status Spectral::FromBasis(runtime::Executor& executor, const Operand<double>& x,
                                 const Matrix<double>& to) const {
  return ParallelGemm(executor, 1.0, Transposed(Operand<double>(basis_.view())), x, 0.0, to);
}

absl::Status Spectral::Refine(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<double>& a) {
  const Dense residual(n(), n(), pool);
  const Dense rest(n(), n(), pool);
  const Dense change(n(), n(), pool);
  const Operand<double> z(basis_.view());
  auto done = ParallelGemm(executor, 1.0, z, Transposed(Operand<double>(a)), 0.0, residual.view());
  if (!done.ok()) return done;
  if (done = SubtractExpected(executor, residual.view()); !done.ok()) return done;
  if (done = ParallelGemm(executor, 1.0, z, Transposed(z), 0.0, rest.view()); !done.ok()) return done;
  if (done = ParallelGemm(executor, 1.0, residual.view(), Transposed(z), 0.0, change.view()); !done.ok()) return done;
  if (done = Correct(executor, rest.view(), change.view()); !done.ok()) return done;
  done = ForEachPanel(executor, n(), n(), [&](int64_t begin, int64_t end) {
    std::copy_n(basis_.view().row(begin), (end - begin) * n(), residual.view().row(begin));
  });
  if (!done.ok()) return done;
  return ParallelGemm(executor, 1.0, change.view(), residual.view(), 1.0, basis_.view());
}

long double Spectral::Scaled(double time) const { return std::ldexp(static_cast<long double>(time), exponent_); }

double Spectral::LargestEigenvalue(double time) const {
  double largest = 0;
  for (double value : values_) largest = std::max(largest, std::fabs(value + shift_));
  const long double norm = std::fabs(Scaled(time)) * static_cast<long double>(largest);
  return static_cast<double>(std::min<long double>(norm, std::numeric_limits<double>::max()));
}

absl::StatusOr<double> OrthogonalityError(runtime::Executor& executor, const Operand<double>& r,
                                          const Matrix<double>& scratch) {
  absl::Status done = ParallelGemm(executor, -1.0, Transposed(r), r, 0.0, scratch);
  if (!done.ok()) return done;
  double largest = 0;
  done = ForEachPanelInOrder(executor, r.rows, r.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      scratch.row(i)[i] += 1;
      for (int64_t j = 0; j < r.cols; ++j) largest = std::max(largest, std::fabs(scratch.row(i)[j]));
    }
  });
  if (!done.ok()) return done;
  return largest;
}

double SpectralBytes(int64_t n) {
  // Basis, matrix or reflectors, and the two sides of the smaller decomposition (half a matrix) or the eigenvectors.
  const auto size = static_cast<double>(n);
  return 8 * (5 * size * size + 8 * size) + DecompositionBytes(n);
}

}  // namespace attend::compute
