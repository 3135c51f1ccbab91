// exp of symmetric and skew-symmetric matrices through their eigenvalues. Not thread-safe.
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_SPECTRAL_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_SPECTRAL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "server/compute/matrix_exp/dense.h"
#include "server/compute/matrix_exp/matrix_exp.h"
#include "server/runtime/executor.h"

namespace attend::compute {

// A = Z^T D Z with Z [n, n] orthogonal, its rows the eigenvectors. Decomposed once; then each time costs a product.
// In double. D is diagonal for symmetric A; for skew-symmetric A it is made of blocks [0, w; -w, 0].
//
//   exp(t A) = 2^exponent (identity I + Z^T F(t) Z),   F(t) small where t A is small
//
// Sources: decompositions.h; Ward and Gray 1978 (a skew-symmetric matrix by the singular values of a bidiagonal one of
// half its size); Daleckii and Krein 1965 (the derivative in the eigenbasis).
class Spectral {
 public:
  virtual ~Spectral() = default;

  // Z x and Z^T x.
  absl::Status ToBasis(runtime::Executor& executor, const Operand<double>& x, const Matrix<double>& to) const;
  absl::Status FromBasis(runtime::Executor& executor, const Operand<double>& x, const Matrix<double>& to) const;

  // rows [n, any] = F(time) rows. Rows of zeros do not count for the exponent, however large their eigenvalues.
  struct Rest {
    double identity = 0;
    int64_t exponent = 0;
  };
  virtual Rest Apply(double time, const Matrix<double>& rows) const = 0;

  // An upper bound of ln(|exp(time A) x| / |x|), 2-norms, for every x that is 0 where `support` [n] is false.
  virtual long double LogGrowth(double time, const std::vector<bool>& support) const = 0;

  // In the eigenbasis: sum += L(time D^T, gradient) time.
  virtual void AddDerivative(double time, const Matrix<double>& gradient, const Matrix<double>& sum) const = 0;

  // exp(time A^T) = exp(TransposedTime(time) A).
  virtual double TransposedTime(double time) const = 0;

  // Brings exp(t A) to the form that it has exactly: symmetric, or orthogonal to working precision.
  virtual absl::Status Polish(runtime::Executor& executor, runtime::BufferPool& pool,
                              const Matrix<double>& exponential) const = 0;

  // One step of Ogita and Aishima 2018 (Iterative refinement for symmetric eigenvalue decomposition), in double and
  // from residuals: eigenvalues and vectors are some ulps of |A| off before it, about one after it. a: A in the units
  // of the eigenvalues.
  absl::Status Refine(runtime::Executor& executor, runtime::BufferPool& pool, const Matrix<double>& a);

  int64_t n() const { return basis_.rows(); }
  const Dense& basis() const { return basis_; }
  double LargestEigenvalue(double time) const;  // |time A|_2, the largest double where it is more

 protected:
  explicit Spectral(Dense basis, int exponent) : basis_(std::move(basis)), exponent_(exponent) {}
  // time 2^exponent
  long double Scaled(double time) const;

  // images [n, n], A z_i row by row, less what they would be if the eigenvalues were exact.
  virtual absl::Status SubtractExpected(runtime::Executor& executor, const Matrix<double>& images) const = 0;
  // Turns `change`, where entry (j, i) is the part of vector j's residual along vector i, into what the basis is to be
  // multiplied with, and adds the corrections of the eigenvalues. rest = Z Z^T.
  virtual absl::Status Correct(runtime::Executor& executor, const Matrix<double>& rest,
                               const Matrix<double>& change) = 0;

  Dense basis_;                 // Z
  int exponent_ = 0;            // eigenvalues are in units of 2^exponent
  double shift_ = 0;            // symmetric: the mean of A's diagonal, in these units
  std::vector<double> values_;  // symmetric: eigenvalues less shift_, ascending; skew-symmetric: w >= 0 of each pair
};

// REQUIRES: a [n, n] is finite and exactly symmetric, or skew-symmetric. T is float or double. Errors of
// decompositions.h.
template <typename T>
absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSymmetric(runtime::Executor& executor, runtime::BufferPool& pool,
                                                             const Matrix<const T>& a);
template <typename T>
absl::StatusOr<std::unique_ptr<Spectral>> DecomposeSkewSymmetric(runtime::Executor& executor, runtime::BufferPool& pool,
                                                                 const Matrix<const T>& a);

// max |r^T r - I| of r [n, n]; `scratch` [n, n] gets I - r^T r.
absl::StatusOr<double> OrthogonalityError(runtime::Executor& executor, const Operand<double>& r,
                                          const Matrix<double>& scratch);

// Bytes of working memory, the basis included.
double SpectralBytes(int64_t n);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_SPECTRAL_H_
