// The methods of matrices that have a structure. REQUIRES each: `a` has it (structure.h).
#ifndef ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_METHODS_H_
#define ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_METHODS_H_

#include <memory>

#include "server/compute/matrix_exp/method.h"

namespace attend::compute {

// Entry by entry.
template <typename T>
std::unique_ptr<Method<T>> MakeDiagonalMethod(runtime::BufferPool& pool, const Matrix<const T>& a);

// triangular.h, and the general way where that overflows; gradients by the general way.
template <typename T>
std::unique_ptr<Method<T>> MakeTriangularMethod(runtime::BufferPool& pool, const Matrix<const T>& a);

// spectral.h, gradients as well.
template <typename T>
std::unique_ptr<Method<T>> MakeSymmetricMethod(runtime::BufferPool& pool, const Matrix<const T>& a);
template <typename T>
std::unique_ptr<Method<T>> MakeSkewSymmetricMethod(runtime::BufferPool& pool, const Matrix<const T>& a);

// generator.h and frechet.h. REQUIRES: no time is negative.
template <typename T>
std::unique_ptr<Method<T>> MakeGeneratorMethod(runtime::BufferPool& pool, const Matrix<const T>& a);

}  // namespace attend::compute

#endif  // ATTEND_SERVER_COMPUTE_MATRIX_EXP_STRUCTURED_METHODS_H_
